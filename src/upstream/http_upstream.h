#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "upstream/upstream.h"

namespace oncegate {

namespace upstream {
class ExchangeLoop;
}

// `http://host:port[/prefix]` or `https://…`, taken apart.
struct UpstreamUrl {
  bool tls = false;
  std::string host;       // name or address; an IPv6 address without brackets
  uint16_t port = 0;      // 80 or 443 where the URL names none
  std::string authority;  // host and port as a Host header would say them
  std::string prefix;     // "" or "/api", without a slash at the end

  // InvalidArgument for other schemes, user names, queries, fragments, and what is not a URL; the message says what
  // would be right.
  static Result<UpstreamUrl> Parse(const std::string& text);
};

struct HttpUpstreamOptions {
  UpstreamUrl url;
  std::string ca_file;  // PEM; empty: the system's certificates
  int64_t connect_timeout_ms = 2000;
  // A connection that has been idle for this long is not used again: the application may be closing it right now.
  int64_t idle_reuse_ms = 1000;
  size_t idle_connections_max = 64;
  // Requests that try to connect again at once: each holds its thread meanwhile. Those beyond try once.
  size_t connect_retries_max = 16;
};

// An Upstream on own sockets and http/. libcurl and httplib are not used because both send a request again by
// themselves when a reused connection dies. Host names are resolved when a connection is made, all addresses tried in
// turn within the time-out; resolving itself cannot be interrupted and may outlast it when the name server is dead.
// With https the certificate and the host name are verified (TLS 1.2 and later). InvalidArgument if the CA file cannot
// be read. Between two tries to connect it waits for 20 ms, then for twice as long each time, up to two seconds.
// `clock` and `loop` must outlive it; without a loop nothing is Started, all is Forwarded.
Result<std::unique_ptr<Upstream>> MakeHttpUpstream(HttpUpstreamOptions options, const Clock& clock,
                                                   upstream::ExchangeLoop* loop = nullptr);

}  // namespace oncegate

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "gateway/gateway.h"
#include "ingress/client_address.h"
#include "ingress/rate_limiter.h"
#include "tls/server_context.h"

namespace oncegate {

// HOST:PORT as a flag names it: "127.0.0.1:8080", "[::1]:0", "localhost:8080".
struct Endpoint {
  std::string host;  // without brackets
  uint16_t port = 0;

  static Result<Endpoint> Parse(const std::string& text);
};

struct IngressOptions {
  std::vector<Endpoint> listen;
  size_t loops = 2;  // event loop threads
  size_t max_connections = 10'000;
  int64_t max_body = 10 << 20;
  int64_t request_timeout_ms = 30'000;            // from a request's first byte to its last
  int64_t idle_timeout_ms = 75'000;               // between two requests on a connection
  RateLimit rate_limit;                           // of each client's requests
  AddressRanges trusted_proxies;                  // whose X-Forwarded-For, Forwarded and X-Forwarded-Proto are believed
  std::shared_ptr<const tls::ServerContext> tls;  // null: plain HTTP
};

// What every loop of the ingress works with. All of it outlives the ingress.
struct IngressParts {
  Gateway& gateway;
  ByteBudget& memory;
  const Clock& clock;
  Logger& logger;
};

// The gateway's listeners: connections on epoll loops, requests vetted and read whole, answers written in order.
// A connection costs memory but no thread. Thread-safe.
class Ingress {
 public:
  virtual ~Ingress() = default;

  // The addresses that answer, as URLs with the real ports, in the order of the options.
  [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;
  [[nodiscard]] virtual size_t connections() const = 0;

  // New connections get this certificate; those that are open keep theirs. REQUIRES: not null, and the ingress was
  // started with one.
  virtual void SetTls(std::shared_ptr<const tls::ServerContext> tls) = 0;

  // Closes the listeners and idle connections; others close after the answer to what they have sent.
  virtual void StopAccepting() = 0;

  // Flushes what can be written within `timeout_ms`, closes all connections and ends the threads. Answers that come
  // later are dropped. REQUIRES: nothing is in flight in the gateway that must still be answered.
  virtual void Stop(int64_t timeout_ms) = 0;
};

// Binds all listeners before it starts any thread. InvalidArgument for a host that does not resolve, Unavailable for
// an address that cannot be bound; the message names it.
Result<std::unique_ptr<Ingress>> StartIngress(const IngressOptions& options, const IngressParts& parts);

}  // namespace oncegate

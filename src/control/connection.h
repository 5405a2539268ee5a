#pragma once

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/listener.h"
#include "control/stream.h"
#include "http/body.h"
#include "http/head.h"
#include "tls/server_stream.h"

// For the .cc files of the listener.
namespace oncegate::control {

// One client. Owned by whoever has it in hand: the table of parked ones, a worker, the watching thread while it
// streams, or whoever will give the answer that comes later.
struct Listener::Connection {
  Connection(int its_fd, std::string its_ip, std::unique_ptr<tls::ServerStream> its_tls)
      : fd(its_fd), client_ip(std::move(its_ip)), tls(std::move(its_tls)) {}
  ~Connection() { close(fd); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const int fd;
  const std::string client_ip;
  const std::unique_ptr<tls::ServerStream> tls;  // null: plain HTTP
  int64_t deadline_ms = 0;
  bool watched = false;       // epoll knows it
  bool lingering = false;     // its last answer is sent; what still comes is thrown away
  bool at_end = false;        // the client has sent all that it will
  bool shaken = false;        // hands, with TLS
  bool more_to_read = false;  // the turn was over, and the kernel may not say again that there is more

  std::string input;  // received and not yet understood
  http::HeadParser parser;
  std::optional<WholeRequest> request;  // once its head is read
  http::BodyReader body;
  size_t body_bytes_max = 0;

  std::optional<WholeRequest> asked;  // what is being answered
  bool asks_again = false;            // its answer did not come later and has to be waited for
  std::string owed;                   // what the client has not taken yet of an answer that came later
  bool owed_keep_alive = false;       // whether the connection goes on after that

  std::unique_ptr<Stream> stream;
  uint64_t stream_generation = 0;
  std::string unsent;  // of the stream

  [[nodiscard]] bool idle() const { return input.empty() && !request && !asked && owed.empty(); }

  // As of tls::ServerStream, whichever way the bytes go.
  tls::IoResult Read(char* out, size_t size);
  tls::IoResult Write(std::string_view bytes);
};

}  // namespace oncegate::control

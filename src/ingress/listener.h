#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "ingress/client_address.h"
#include "ingress/ingress.h"

namespace oncegate {

// A file descriptor that closes itself. Move-only.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { Reset(); }

  [[nodiscard]] int get() const { return fd_; }
  void Reset();

 private:
  int fd_ = -1;
};

inline constexpr int kListenBacklog = 4096;

// A listening, non-blocking socket.
struct Listener {
  OwnedFd fd;
  std::string url;  // "http://127.0.0.1:8080", with the scheme and the real port

  // `scheme` is how its URL begins.
  static Result<Listener> Open(const Endpoint& endpoint, std::string_view scheme);
};

// A connection that was accepted.
struct Accepted {
  OwnedFd fd;
  IpAddress peer;
};

// The next connection that waits. `*error` is 0 or the errno that says why there is none (EAGAIN: nobody waits).
Accepted AcceptOne(int listener, int* error);

}  // namespace oncegate

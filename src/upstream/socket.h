#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace oncegate::upstream {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Wakes every wait of an Upstream, once and for good. Thread-safe.
class AbortSignal {
 public:
  AbortSignal();

  void Raise();
  [[nodiscard]] bool raised() const { return raised_.load(); }
  // Readable from Raise() on.
  [[nodiscard]] int fd() const { return event_.get(); }

 private:
  Descriptor event_;
  std::atomic<bool> raised_{false};
};

enum class WaitEnd : uint8_t { kReady, kTimedOut, kAborted };

// Waits for sockets on behalf of one call, never past the call's end. Not thread-safe.
class Waiter {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // `timeout_ms` runs from now; 0: no such limit.
  Waiter(const Clock& clock, const AbortSignal& abort, int64_t timeout_ms);

  // Until one of `events` (POLLIN, POLLOUT), an error or a hang-up comes; at most `idle_ms` (0: no such limit), and at
  // most until the call's end.
  WaitEnd Wait(int fd, int events, int64_t idle_ms) const;

  // Lets that much time pass, at most until the call's end: kTimedOut, unless the signal ends it.
  [[nodiscard]] WaitEnd Pause(int64_t pause_ms) const;

  // As this one, but ending in `timeout_ms` at the latest (0: no earlier).
  [[nodiscard]] Waiter Within(int64_t timeout_ms) const;
  [[nodiscard]] int64_t LeftMs() const;
  // By the clock's steady time; kNever: no limit.
  [[nodiscard]] int64_t end_ms() const { return end_ms_; }
  [[nodiscard]] bool aborted() const { return abort_->raised(); }

 private:
  const Clock* clock_;
  const AbortSignal* abort_;
  int64_t end_ms_ = kNever;  // of clock_'s steady time
};

// A TCP connection to the host, non-blocking, without Nagle's delay. All addresses of the name are tried in turn; each
// gets its share of the time that is left. Unavailable says why there is none.
//
// getaddrinfo, which resolves the name, cannot be interrupted: with a dead name server it blocks for as long as
// resolv.conf says (5 s a try by default), past the time-out. Addresses and names from /etc/hosts never block.
Result<Descriptor> ConnectTcp(const std::string& host, uint16_t port, const Waiter& waiter);

// "Connection refused" for ECONNREFUSED.
std::string ErrnoText(int error);

}  // namespace oncegate::upstream

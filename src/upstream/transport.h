#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "upstream/socket.h"

namespace oncegate::upstream {

enum class Io : uint8_t {
  kProgress,   // some bytes went through
  kWantRead,   // try again when the socket is readable
  kWantWrite,  // try again when the socket is writable
  kEnd,        // the peer has closed its side in order (reads only)
  kFailed,     // the connection is lost; failure() says why
};

struct IoResult {
  Io io;
  size_t bytes = 0;
};

// A connected byte stream over a non-blocking socket, plain or TLS. Not thread-safe.
class Transport {
 public:
  explicit Transport(Descriptor socket) : socket_(std::move(socket)) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Writes what of `first` and then `second` fits, in one system call where possible. After kWantRead or kWantWrite the
  // next call must offer the same bytes again. REQUIRES: not both empty.
  virtual IoResult Write(std::string_view first, std::string_view second) = 0;
  virtual IoResult Read(char* out, size_t size) = 0;

  // Whether Read can give bytes that the socket no longer holds.
  [[nodiscard]] virtual bool HasBuffered() const = 0;

  // How many bytes the kernel has taken since the connection was made. While this stands still, the peer cannot have
  // seen anything of what was written.
  [[nodiscard]] uint64_t accepted() const { return accepted_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const std::string& failure() const { return failure_; }

  // Whether the peer has neither sent anything nor closed: only then may an idle connection be used again.
  [[nodiscard]] bool Quiet() const;

 protected:
  // send() and recv() that never raise SIGPIPE, counted in accepted().
  IoResult SendRaw(std::string_view first, std::string_view second);
  IoResult ReceiveRaw(char* out, size_t size);
  void CountAccepted(size_t bytes) { accepted_ += bytes; }
  void SetFailure(std::string failure) { failure_ = std::move(failure); }

 private:
  Descriptor socket_;
  uint64_t accepted_ = 0;
  std::string failure_;
};

class PlainTransport final : public Transport {
 public:
  using Transport::Transport;
  IoResult Write(std::string_view first, std::string_view second) override { return SendRaw(first, second); }
  IoResult Read(char* out, size_t size) override { return ReceiveRaw(out, size); }
  [[nodiscard]] bool HasBuffered() const override { return false; }
};

}  // namespace oncegate::upstream

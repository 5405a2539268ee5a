#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace oncegate {

// An answer as it came over the wire.
struct RawAnswer {
  int status = 0;    // 0: the connection ended before a whole head came
  std::string head;  // with the empty line
  std::string body;  // decoded from chunks
  bool whole = false;

  [[nodiscard]] std::string Field(std::string_view name) const {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const size_t at = head.find(line);
    if (at == std::string::npos) return {};
    return head.substr(at + line.size(), head.find("\r\n", at + 2) - at - line.size());
  }
  [[nodiscard]] std::string Verdict() const { return std::to_string(status) + " " + Field("Oncegate-Outcome"); }
};

// What lies between a client and its socket: TLS.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // As send and recv: below zero for an error, zero at the end.
  virtual ssize_t Send(const char* bytes, size_t size) = 0;
  virtual ssize_t Receive(char* out, size_t size) = 0;
  [[nodiscard]] virtual bool HasBuffered() const = 0;
  virtual void CloseSending() = 0;
};

// A TCP connection to 127.0.0.1 that sends what it is told, byte for byte. Every wait ends after kWaitMsMax.
class RawClient {
 public:
  static constexpr int kWaitMsMax = 20'000;

  // Null from it: it could not be put onto the socket, and the client counts as not connected.
  using Wrap = std::function<std::unique_ptr<ClientStream>(int fd)>;

  explicit RawClient(uint16_t port, const Wrap& wrap = nullptr) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!wrap || !connected_) return;
    stream_ = wrap(fd_);
    connected_ = stream_ != nullptr;
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        stream_(std::move(other.stream_)),
        connected_(other.connected_),
        buffer_(std::move(other.buffer_)) {}
  RawClient& operator=(RawClient&&) = delete;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { Close(); }

  // The port at the end of "http://127.0.0.1:8080".
  static uint16_t PortOf(const std::string& url) {
    return static_cast<uint16_t>(std::strtoul(url.c_str() + url.rfind(':') + 1, nullptr, 10));
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_; }

  // False if the other side closed before all was taken.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent =
          stream_ ? stream_->Send(bytes.data(), bytes.size()) : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void CloseSending() {
    if (stream_) stream_->CloseSending();
    shutdown(fd_, SHUT_WR);
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // Ends the connection with a reset.
  void Reset() {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    Close();
  }

  // The next answer; `to_head`: of a HEAD request. Interim answers are answers of their own.
  RawAnswer Receive(bool to_head = false) {
    RawAnswer answer;
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return answer;
    }
    answer.head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + 9);
    const bool no_body = to_head || answer.status < 200 || answer.status == 204 || answer.status == 304;
    if (no_body) {
      answer.whole = true;
    } else if (const std::string length = answer.Field("Content-Length"); !length.empty()) {
      answer.whole = Take(std::strtoull(length.c_str(), nullptr, 10), &answer.body);
    } else if (answer.Field("Transfer-Encoding") == "chunked") {
      answer.whole = TakeChunks(&answer.body);
    } else {
      while (Fill()) {
      }
      answer.body = std::exchange(buffer_, {});
      answer.whole = true;
    }
    return answer;
  }

  // What comes up to and with `mark`, of an answer that has no end. Empty if the connection ends before.
  std::string ReceiveUntil(std::string_view mark) {
    size_t at = 0;
    while ((at = buffer_.find(mark)) == std::string::npos) {
      if (!Fill()) return {};
    }
    std::string text;
    Take(at + mark.size(), &text);
    return text;
  }

  // Whether the connection ended by a reset rather than in an orderly way.
  [[nodiscard]] bool was_reset() const { return reset_; }

  // Whether it ended the way its protocol ends: TLS with a farewell.
  [[nodiscard]] bool ended_in_order() const { return in_order_; }

  // Whether the other side closes without sending anything more.
  bool AtEnd() { return buffer_.empty() && !Fill() && buffer_.empty() && ended_; }

 private:
  bool Fill() {
    pollfd ready{fd_, POLLIN, 0};
    if (!(stream_ && stream_->HasBuffered()) && poll(&ready, 1, kWaitMsMax) != 1) {
      ADD_FAILURE() << "no answer within " << kWaitMsMax << " ms";
      return false;
    }
    std::array<char, 65536> bytes{};
    const ssize_t got =
        stream_ ? stream_->Receive(bytes.data(), bytes.size()) : recv(fd_, bytes.data(), bytes.size(), 0);
    ended_ = got <= 0;
    in_order_ = got == 0;
    reset_ = got < 0 && errno == ECONNRESET;
    if (got > 0) buffer_.append(bytes.data(), static_cast<size_t>(got));
    return got > 0;
  }
  bool Take(size_t count, std::string* out) {
    while (buffer_.size() < count) {
      if (!Fill()) break;
    }
    const size_t taken = std::min(count, buffer_.size());
    out->append(buffer_, 0, taken);
    buffer_.erase(0, taken);
    return taken == count;
  }
  bool TakeChunks(std::string* out) {
    for (;;) {
      size_t end = 0;
      while ((end = buffer_.find("\r\n")) == std::string::npos) {
        if (!Fill()) return false;
      }
      const size_t size = std::strtoull(buffer_.c_str(), nullptr, 16);
      buffer_.erase(0, end + 2);
      std::string line_end;
      if (!Take(size, out) || !Take(2, &line_end)) return false;
      if (size == 0) return true;
    }
  }

  int fd_;
  std::unique_ptr<ClientStream> stream_;
  bool connected_ = false;
  bool ended_ = false;
  bool in_order_ = false;
  bool reset_ = false;
  std::string buffer_;
};

}  // namespace oncegate

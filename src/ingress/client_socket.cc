#include "ingress/client_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace oncegate {
namespace {

using tls::Io;
using tls::IoResult;

IoResult Blocked() {
  return {errno == EAGAIN || errno == EWOULDBLOCK ? Io::kBlocked : Io::kFailed};
}

IoResult Receive(int fd, std::span<char> out) {
  for (;;) {
    const ssize_t got = recv(fd, out.data(), out.size(), 0);
    if (got > 0) return {Io::kProgress, static_cast<size_t>(got)};
    if (got == 0) return {Io::kClosed};
    if (errno != EINTR) return Blocked();
  }
}

std::string_view BytesOf(const iovec& piece) {
  return {static_cast<const char*>(piece.iov_base), piece.iov_len};
}

}  // namespace

IoResult ClientSocket::Read(std::span<char> out, bool* more) {
  if (tls_ == nullptr) {
    const IoResult result = Receive(fd_.get(), out);
    *more = result.bytes == out.size();
    return result;
  }
  const IoResult result = tls_->Read(out.data(), out.size());
  *more = tls_->HasMore();
  return result;
}

IoResult ClientSocket::Write(std::span<const iovec> pieces, std::span<char> scratch) {
  if (tls_ != nullptr) return WriteRecord(pieces, scratch);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  for (;;) {
    // Most answers are one piece, and the kernel has less to do for one.
    const ssize_t sent = pieces.size() == 1
                             ? send(fd_.get(), pieces.front().iov_base, pieces.front().iov_len, MSG_NOSIGNAL)
                             : sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (sent >= 0) return {Io::kProgress, static_cast<size_t>(sent)};
    if (errno != EINTR) return Blocked();
  }
}

// Small pieces share a record: each one costs a system call and an authentication tag.
IoResult ClientSocket::WriteRecord(std::span<const iovec> pieces, std::span<char> scratch) {
  if (pieces.size() == 1 || pieces.front().iov_len >= tls::kRecordBytesMax) return tls_->Write(BytesOf(pieces.front()));
  size_t size = 0;
  for (const iovec& piece : pieces) {
    const size_t taken = std::min(piece.iov_len, tls::kRecordBytesMax - size);
    std::memcpy(scratch.data() + size, piece.iov_base, taken);
    size += taken;
  }
  return tls_->Write({scratch.data(), size});
}

IoResult ClientSocket::Discard(std::span<char> scratch) {
  return Receive(fd_.get(), scratch);
}

void ClientSocket::CloseSending() {
  if (tls_ != nullptr) {
    tls_->CloseSending();
  } else {
    shutdown(fd_.get(), SHUT_WR);
  }
}

void ClientSocket::ResetOnClose() {
  const linger reset{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

}  // namespace oncegate

#include "upstream/transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace oncegate::upstream {

bool Transport::Quiet() const {
  if (HasBuffered()) return false;
  pollfd polled = {.fd = fd(), .events = POLLIN | POLLRDHUP, .revents = 0};
  return poll(&polled, 1, 0) == 0;
}

IoResult Transport::SendRaw(std::string_view first, std::string_view second) {
  std::array<iovec, 2> parts{};
  size_t count = 0;
  for (const std::string_view part : {first, second}) {
    if (!part.empty()) parts[count++] = {.iov_base = const_cast<char*>(part.data()), .iov_len = part.size()};
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  while (true) {
    const ssize_t sent = sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      CountAccepted(static_cast<size_t>(sent));
      return {Io::kProgress, static_cast<size_t>(sent)};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::kWantWrite};
    SetFailure(ErrnoText(errno));
    return {Io::kFailed};
  }
}

IoResult Transport::ReceiveRaw(char* out, size_t size) {
  while (true) {
    const ssize_t received = recv(fd(), out, size, 0);
    if (received > 0) return {Io::kProgress, static_cast<size_t>(received)};
    if (received == 0) return {Io::kEnd};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::kWantRead};
    SetFailure(ErrnoText(errno));
    return {Io::kFailed};
  }
}

}  // namespace oncegate::upstream

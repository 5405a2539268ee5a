#include "upstream/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

namespace oncegate::upstream {
namespace {

struct AddressListDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListDeleter>;

Result<AddressList> Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) return Unavailable("the name " + host + " cannot be resolved: " + gai_strerror(error));
  return AddressList(list);
}

// Connecting to an own ephemeral port on which nobody listens can, by TCP's simultaneous open, succeed with itself. The
// request would come back as its own answer.
bool ConnectedToItself(int fd) {
  sockaddr_storage local{};
  sockaddr_storage remote{};
  socklen_t local_size = sizeof local;
  socklen_t remote_size = sizeof remote;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size) != 0) return false;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&remote), &remote_size) != 0) return false;
  return local_size == remote_size && std::memcmp(&local, &remote, local_size) == 0;
}

Result<Descriptor> ConnectTo(const addrinfo& address, const Waiter& waiter) {
  Descriptor socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Unavailable(ErrnoText(errno));
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return Unavailable(ErrnoText(errno));
    const WaitEnd end = waiter.Wait(socket.get(), POLLOUT, 0);
    if (end == WaitEnd::kTimedOut) return Unavailable("no answer in time");
    if (end == WaitEnd::kAborted) return Unavailable("shutting down");
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return Unavailable(ErrnoText(error));
  }
  if (ConnectedToItself(socket.get())) return Unavailable(ErrnoText(ECONNREFUSED));
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

AbortSignal::AbortSignal() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void AbortSignal::Raise() {
  raised_ = true;
  const uint64_t one = 1;
  // Nobody reads the event, so that it stays readable; a second write adds nothing.
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

Waiter::Waiter(const Clock& clock, const AbortSignal& abort, int64_t timeout_ms) : clock_(&clock), abort_(&abort) {
  if (timeout_ms > 0) end_ms_ = clock.SteadyMs() + timeout_ms;
}

Waiter Waiter::Within(int64_t timeout_ms) const {
  Waiter shorter = *this;
  if (timeout_ms > 0) shorter.end_ms_ = std::min(end_ms_, clock_->SteadyMs() + timeout_ms);
  return shorter;
}

int64_t Waiter::LeftMs() const {
  return end_ms_ == kNever ? kNever : std::max<int64_t>(end_ms_ - clock_->SteadyMs(), 0);
}

WaitEnd Waiter::Wait(int fd, int events, int64_t idle_ms) const {
  std::array<pollfd, 2> polled{};
  polled[0] = {.fd = fd, .events = static_cast<int16_t>(events), .revents = 0};
  polled[1] = {.fd = abort_->fd(), .events = POLLIN, .revents = 0};
  const Waiter limit = Within(idle_ms);
  while (true) {
    if (abort_->raised()) return WaitEnd::kAborted;
    const int64_t left_ms = limit.LeftMs();
    if (left_ms == 0) return WaitEnd::kTimedOut;
    constexpr int64_t kPollMsMax = 24 * 3600 * 1000;
    const int poll_ms = left_ms == kNever ? -1 : static_cast<int>(std::min(left_ms, kPollMsMax));
    const int ready = poll(polled.data(), polled.size(), poll_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (polled[1].revents != 0) return WaitEnd::kAborted;
    // poll's own time counts, not the clock's: tests let the clock stand still.
    if (ready == 0) return WaitEnd::kTimedOut;
    return WaitEnd::kReady;
  }
}

WaitEnd Waiter::Pause(int64_t pause_ms) const {
  // poll skips negative descriptors.
  return Wait(-1, 0, pause_ms);
}

Result<Descriptor> ConnectTcp(const std::string& host, uint16_t port, const Waiter& waiter) {
  Result<AddressList> addresses = Resolve(host, port);
  if (!addresses.ok()) return addresses.status();
  int64_t left = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) ++left;
  std::string why = "no addresses";
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next, --left) {
    const int64_t left_ms = waiter.LeftMs();
    const int64_t share_ms = left_ms == Waiter::kNever ? 0 : std::max<int64_t>(left_ms / std::max<int64_t>(left, 1), 1);
    Result<Descriptor> socket = ConnectTo(*address, waiter.Within(share_ms));
    if (socket.ok()) return socket;
    why = socket.status().message();
  }
  return Unavailable("cannot connect to " + host + " port " + std::to_string(port) + ": " + why);
}

std::string ErrnoText(int error) {
  return std::generic_category().message(error);
}

}  // namespace oncegate::upstream

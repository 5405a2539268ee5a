#include "control/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/thread_name.h"
#include "control/connection.h"

namespace oncegate::control {
namespace {

constexpr int kBacklog = 4096;
constexpr int kSweepIntervalMs = 250;
constexpr int kStreamIntervalMs = 100;

std::string SystemMessage(int error) {
  std::array<char, 128> text{};
  return strerror_r(error, text.data(), text.size());
}

uint16_t PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

// The address as text; that of an IPv4 client of an IPv6 socket as IPv4's.
std::string AddressText(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&address)->sin_addr, text.data(), text.size());
    return text.data();
  }
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, &v6.s6_addr[12], text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, &v6, text.data(), text.size());
  }
  return text.data();
}

// A listening socket, or -1 with errno. No SO_REUSEPORT: a second process must not take half of the connections.
int ListenOn(const addrinfo& address) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// Of a system call that moved `count` bytes, or failed.
tls::IoResult ResultOf(ssize_t count) {
  if (count >= 0) return {tls::Io::kProgress, static_cast<size_t>(count)};
  if (errno == EINTR) return {tls::Io::kProgress, 0};
  return {errno == EAGAIN || errno == EWOULDBLOCK ? tls::Io::kBlocked : tls::Io::kFailed};
}

}  // namespace

tls::IoResult Listener::Connection::Read(char* out, size_t size) {
  // What still comes is not read any more, only thrown away.
  if (tls != nullptr && !lingering) return tls->Read(out, size);
  const ssize_t count = recv(fd, out, size, 0);
  return count == 0 ? tls::IoResult{tls::Io::kClosed} : ResultOf(count);
}

tls::IoResult Listener::Connection::Write(std::string_view bytes) {
  if (tls != nullptr) return tls->Write(bytes);
  return ResultOf(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

Result<std::unique_ptr<Listener>> Listener::Bind(const ListenerOptions& options, const Clock& clock, Logger& logger) {
  const std::string where = options.host + ":" + std::to_string(options.port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found))
    return InvalidArgument("cannot listen on " + where + ": " + gai_strerror(error));
  int fd = -1;
  for (const addrinfo* address = found; address != nullptr && fd < 0; address = address->ai_next)
    fd = ListenOn(*address);
  const int error = errno;
  freeaddrinfo(found);
  if (fd < 0) return Unavailable("cannot listen on " + where + ": " + SystemMessage(error));
  return std::unique_ptr<Listener>(new Listener(options, clock, logger, fd));
}

size_t DefaultSeats() {
  // One may be writing for all.
  constexpr size_t kSeatsMin = 4;
  return std::max(kSeatsMin, size_t{2} * std::thread::hardware_concurrency());
}

Listener::Listener(const ListenerOptions& options, const Clock& clock, Logger& logger, int listen_fd)
    : options_(options),
      tls_(options.tls),
      clock_(clock),
      logger_(logger),
      port_(PortOf(listen_fd)),
      listen_fd_(listen_fd),
      seats_(options.seats) {}

Listener::~Listener() {
  Stop();
  for (const int fd : {listen_fd_, epoll_fd_, work_fd_, stop_fd_, wake_fd_}) {
    if (fd >= 0) close(fd);
  }
}

void Listener::Start(Responder& responder) {
  responder_ = &responder;
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  work_fd_ = epoll_create1(EPOLL_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const std::pair<int, int> watched[] = {
      {epoll_fd_, listen_fd_}, {epoll_fd_, stop_fd_}, {epoll_fd_, wake_fd_}, {work_fd_, stop_fd_}};
  for (const auto& [epoll_fd, fd] : watched) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
  for (size_t worker = 0; worker < options_.workers; ++worker) workers_.emplace_back([this, worker] { Work(worker); });
  watcher_ = std::thread([this] { Watch(); });
}

void Listener::Stop() {
  if (!watcher_.joinable()) return;
  stopping_.store(true);
  eventfd_write(stop_fd_, 1);
  watcher_.join();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  parked_.clear();
  streams_.clear();
  new_streams_.clear();
}

void Listener::Watch() {
  NameThisThread("control");
  std::array<epoll_event, 128> events{};
  while (true) {
    AdoptStreams();
    // Without a client there is nothing to sweep, and nothing that has to wake up for it.
    const int sweep_ms = HasConnections() || accept_again_ms_ != 0 ? kSweepIntervalMs : -1;
    const int wait_ms = streams_.empty() ? sweep_ms : kStreamIntervalMs;
    const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), wait_ms);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_fd_) return;
      if (fd == wake_fd_) {
        eventfd_t ignored = 0;
        eventfd_read(wake_fd_, &ignored);
      } else if (fd == listen_fd_) {
        AcceptAll();
      } else if (streams_.contains(fd) && !ReadStream(fd)) {
        CloseStream(fd);
      }
    }
    // Only now: a descriptor that is closed while events are handed out could be somebody else's by the next one.
    CloseExpired();
    if (count <= 0 || clock_.SteadyMs() >= streams_served_ms_ + kStreamIntervalMs) ServeStreams();
    if (accept_again_ms_ != 0 && clock_.SteadyMs() >= accept_again_ms_) {
      accept_again_ms_ = 0;
      WatchListener(EPOLLIN);
    }
  }
}

bool Listener::HasConnections() {
  const std::lock_guard lock(mutex_);
  return connections_ > 0;
}

void Listener::AcceptAll() {
  while (true) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = accept4(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Admit(fd, AddressText(address));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Out of descriptors: the listener stays readable, and trying again at once would spin.
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "control listener cannot accept",
                  {{"reason", SystemMessage(errno)}});
      accept_again_ms_ = clock_.SteadyMs() + kSweepIntervalMs;
      WatchListener(0);
    }
    return;
  }
}

void Listener::WatchListener(uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = listen_fd_}};
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, listen_fd_, &event);
}

void Listener::Admit(int fd, std::string client_ip) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::shared_ptr<const tls::ServerContext> context = tls_.Get();
  auto connection =
      std::make_unique<Connection>(fd, std::move(client_ip), context == nullptr ? nullptr : context->Accept(fd));
  if (context != nullptr && connection->tls == nullptr) return;  // never in plain text for want of memory
  const int64_t patience_ms = context == nullptr ? options_.idle_timeout_ms : options_.request_timeout_ms;
  connection->deadline_ms = clock_.SteadyMs() + patience_ms;
  {
    const std::lock_guard lock(mutex_);
    if (connections_ >= options_.connections_max && !EvictIdle()) return;
    ++connections_;
  }
  Park(std::move(connection));
}

// REQUIRES: mutex_ is held. False: no connection is idle.
bool Listener::EvictIdle() {
  auto oldest = parked_.end();
  for (auto it = parked_.begin(); it != parked_.end(); ++it) {
    if (!it->second->idle()) continue;
    if (oldest == parked_.end() || it->second->deadline_ms < oldest->second->deadline_ms) oldest = it;
  }
  if (oldest == parked_.end()) return false;
  parked_.erase(oldest);
  --connections_;
  return true;
}

void Listener::CloseExpired() {
  const int64_t now_ms = clock_.SteadyMs();
  std::vector<ConnectionPtr> expired;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = parked_.begin(); it != parked_.end();) {
      if (it->second->deadline_ms > now_ms) {
        ++it;
        continue;
      }
      expired.push_back(std::move(it->second));
      it = parked_.erase(it);
      --connections_;
    }
  }
  for (const ConnectionPtr& connection : expired) {
    if (connection->idle() || connection->lingering || connection->asked || !connection->owed.empty()) continue;
    const std::string answer = responder_->Refuse({.code = http::ErrorCode::kRequestTimeout,
                                                   .detail = "The request did not arrive in time.",
                                                   .retry_after_s = {},
                                                   .status = {}});
    // Once, without waiting: this thread closes all that have expired.
    connection->Write(answer);
  }
}

// Waits for the connection's next bytes without a thread. One event wakes it once, so that only one worker has it.
// Bytes that TLS has taken from the kernel already are no event: then being able to write is one, so that the
// connection comes back behind the others.
void Listener::Park(ConnectionPtr connection) {
  Connection& c = *connection;
  const bool writes = c.tls != nullptr ? c.tls->wants_write() : !c.owed.empty();
  const uint32_t wanted = writes ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;
  const uint32_t at_once = c.owed.empty() && (c.more_to_read || c.asks_again) ? uint32_t{EPOLLOUT} : 0;
  epoll_event event{.events = wanted | at_once | EPOLLONESHOT, .data = {.fd = c.fd}};
  const int operation = c.watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  c.watched = true;
  const std::lock_guard lock(mutex_);
  const int fd = c.fd;
  parked_.emplace(fd, std::move(connection));
  if (epoll_ctl(work_fd_, operation, fd, &event) == 0) return;
  parked_.erase(fd);
  --connections_;
}

// Null: it expired meanwhile. A descriptor that is somebody else's by now does no harm: who comes too early parks
// again.
Listener::ConnectionPtr Listener::TakeParked(int fd) {
  const std::lock_guard lock(mutex_);
  const auto it = parked_.find(fd);
  if (it == parked_.end()) return nullptr;
  ConnectionPtr connection = std::move(it->second);
  parked_.erase(it);
  return connection;
}

}  // namespace oncegate::control

#include "control/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "control/connection.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;
using http::Framing;
using http::ParseState;

constexpr int kBacklog = 4096;
constexpr int kSweepIntervalMs = 250;
constexpr int kStreamIntervalMs = 100;
constexpr int64_t kLingerMs = 1000;
constexpr size_t kReadBytes = 16 * 1024;
// What one turn reads at most, so that one client that sends without end does not hold a worker; and what is held of it
// and not understood yet.
constexpr size_t kTurnBytesMax = 256 * 1024;
// Larger requests hold a worker until they are answered, so that those of all connections do not wait in memory.
constexpr size_t kLaterBodyBytesMax = 64 * 1024;

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

// Whether the other end of a socket has closed it, or its own sending side.
bool IsClosedByPeer(int fd) {
  pollfd look{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
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

http::Error MakeError(ErrorCode code, std::string detail) {
  return {.code = code, .detail = std::move(detail), .retry_after_s = {}, .status = {}};
}

// Of a system call that moved `count` bytes, or failed.
tls::IoResult ResultOf(ssize_t count) {
  if (count >= 0) return {tls::Io::kProgress, static_cast<size_t>(count)};
  if (errno == EINTR) return {tls::Io::kProgress, 0};
  return {errno == EAGAIN || errno == EWOULDBLOCK ? tls::Io::kBlocked : tls::Io::kFailed};
}

// Requests of these methods have no body with a meaning, and bodies that nobody reads have become the next request in
// too many servers.
bool MayHaveBody(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
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

Listener::Listener(const ListenerOptions& options, const Clock& clock, Logger& logger, int listen_fd)
    : options_(options),
      tls_(options.tls),
      clock_(clock),
      logger_(logger),
      port_(PortOf(listen_fd)),
      listen_fd_(listen_fd) {}

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
    const std::string answer =
        responder_->Refuse(MakeError(ErrorCode::kRequestTimeout, "The request did not arrive in time."));
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

// The next connection with bytes, or whose client has closed. Null: the listener stops, and nothing is left of what had
// come by then: epoll goes round what is ready, so that between two events to stop there were all others.
Listener::ConnectionPtr Listener::AwaitConnection() {
  bool told_to_stop = false;
  while (true) {
    epoll_event event{};
    if (epoll_wait(work_fd_, &event, 1, -1) != 1) continue;
    if (event.data.fd == stop_fd_) {
      if (std::exchange(told_to_stop, true)) return nullptr;
    } else if (ConnectionPtr connection = TakeParked(event.data.fd)) {
      return connection;
    }
  }
}

void Listener::Work(size_t worker) {
  while (ConnectionPtr connection = AwaitConnection()) {
    const Next next = Serve(connection, worker);
    if (connection != nullptr) GoOn(std::move(connection), next);
  }
}

void Listener::GoOn(ConnectionPtr connection, Next next) {
  if (next == Next::kStream && BeginStream(connection)) return;
  // When all is to stop, those are still served that have sent something or are owed something.
  if (next == Next::kPark && (!stopping_.load() || !connection->idle())) return Park(std::move(connection));
  connection.reset();
  const std::lock_guard lock(mutex_);
  --connections_;
}

// One turn: reads what is there, answers the requests that are whole.
Listener::Next Listener::Serve(ConnectionPtr& served, size_t worker) {
  Connection& connection = *served;
  const bool was_idle = connection.idle();
  if (!ReadAvailable(connection)) return Next::kClose;
  if (connection.lingering) {
    connection.input.clear();
    return connection.at_end ? Next::kClose : Next::kPark;
  }
  // Bytes of a handshake buy no more time: only its end and those of a request do.
  if (connection.tls != nullptr && !connection.shaken && connection.tls->established()) {
    connection.shaken = true;
    connection.deadline_ms = clock_.SteadyMs() + options_.idle_timeout_ms;
  }
  if (was_idle && !connection.idle()) connection.deadline_ms = clock_.SteadyMs() + options_.request_timeout_ms;
  if (!connection.owed.empty()) {
    const Next owed = PayOwed(connection);
    if (owed != Next::kPark || connection.lingering || !connection.owed.empty()) return owed;
  }
  Next next = Next::kPark;
  for (bool again = connection.asks_again; again || TakeRequest(connection, &next); again = false) {
    connection.asks_again = false;
    if (!again) {
      connection.asked = std::exchange(connection.request, std::nullopt);
      connection.asked->client_ip = connection.client_ip;
      connection.asked->client_gone = [fd = connection.fd] { return IsClosedByPeer(fd); };
      connection.parser = {};
    }
    const bool keep_alive = connection.asked->head.keep_alive && !connection.at_end;
    connection.stream_generation = stream_generation_.load();
    const bool may_come_later = !again && connection.asked->body.size() <= kLaterBodyBytesMax;
    Answered answered = responder_->Answer(*connection.asked, keep_alive, worker, may_come_later);
    if (answered.later) {
      // Behind a shared pointer only because functions have to be copyable.
      const auto waiting = std::make_shared<ConnectionPtr>(std::move(served));
      answered.later([this, waiting, keep_alive](std::optional<std::string> bytes) {
        AnswerLater(std::move(*waiting), keep_alive, std::move(bytes));
      });
      return Next::kPark;
    }
    connection.asked.reset();
    if (answered.stream != nullptr) answered.bytes += answered.stream->Take();
    if (!Send(connection, answered.bytes)) return Next::kClose;
    connection.stream = std::move(answered.stream);
    if (connection.stream != nullptr) return connection.at_end ? Next::kClose : Next::kStream;
    if (const Next after = AfterAnswer(connection, keep_alive); after != Next::kPark || connection.lingering)
      return after;
  }
  return next == Next::kPark && connection.at_end ? Next::kClose : next;
}

// On whoever's thread, so that nothing here waits for the client.
void Listener::AnswerLater(ConnectionPtr answered, bool keep_alive, std::optional<std::string> bytes) {
  Connection& connection = *answered;
  connection.deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  connection.asks_again = !bytes;
  if (!bytes) return GoOn(std::move(answered), Next::kPark);
  connection.asked.reset();
  connection.owed = *std::move(bytes);
  connection.owed_keep_alive = keep_alive;
  const Next next = PayOwed(connection);
  // What it has sent already, the kernel does not speak of again.
  connection.more_to_read = connection.more_to_read || !connection.input.empty();
  GoOn(std::move(answered), next);
}

// Sends what the client takes now; some may be left then.
Listener::Next Listener::PayOwed(Connection& connection) {
  std::string_view unsent = connection.owed;
  tls::IoResult result{tls::Io::kProgress};
  while (!unsent.empty() && result.io == tls::Io::kProgress) {
    result = connection.Write(unsent);
    unsent.remove_prefix(result.bytes);
  }
  if (result.io != tls::Io::kProgress && result.io != tls::Io::kBlocked) return Next::kClose;
  connection.owed.erase(0, connection.owed.size() - unsent.size());
  return connection.owed.empty() ? AfterAnswer(connection, connection.owed_keep_alive) : Next::kPark;
}

Listener::Next Listener::AfterAnswer(Connection& connection, bool keep_alive) {
  if (!keep_alive) return Linger(connection);
  const int64_t now_ms = clock_.SteadyMs();
  connection.deadline_ms = now_ms + (connection.idle() ? options_.idle_timeout_ms : options_.request_timeout_ms);
  return Next::kPark;
}

bool Listener::TakeRequest(Connection& connection, Next* next) {
  if (!connection.request && !TakeHead(connection, next)) return false;
  std::string& body = connection.request->body;
  size_t used = 0;
  const ParseState state = connection.body.Read(connection.input, &used, &body);
  connection.input.erase(0, used);
  if (state == ParseState::kError) {
    *next = Refuse(connection, connection.body.error());
  } else if (body.size() > options_.body_bytes_max) {
    *next = Refuse(connection, MakeError(ErrorCode::kBodyTooLarge, "A request body has at most 1 MiB here."));
  } else {
    return state == ParseState::kDone;
  }
  return false;
}

bool Listener::TakeHead(Connection& connection, Next* next) {
  WholeRequest request;
  const ParseState state = connection.parser.ParseRequest(connection.input, &request.head);
  if (state == ParseState::kNeedMore) return false;
  if (state == ParseState::kError) {
    *next = Refuse(connection, connection.parser.error());
    return false;
  }
  const http::RequestHead& head = request.head;
  connection.input.erase(0, connection.parser.consumed());
  const bool has_body = head.framing == Framing::kChunked || head.content_length > 0;
  if (has_body && !MayHaveBody(head.method)) {
    *next = Refuse(connection, MakeError(ErrorCode::kBadRequest, "A " + head.method + " has no body here."));
    return false;
  }
  if (head.content_length > options_.body_bytes_max) {
    *next = Refuse(connection, MakeError(ErrorCode::kBodyTooLarge, "A request body has at most 1 MiB here."));
    return false;
  }
  if (head.expect_continue && has_body && connection.input.empty() &&
      !Send(connection, "HTTP/1.1 100 Continue\r\n\r\n")) {
    *next = Next::kClose;
    return false;
  }
  connection.body = http::BodyReader(head.framing, head.content_length);
  connection.request = std::move(request);
  return true;
}

bool Listener::ReadAvailable(Connection& connection) {
  std::array<char, kReadBytes> bytes;
  connection.more_to_read = false;
  for (size_t total = 0; total < kTurnBytesMax && connection.input.size() < kTurnBytesMax;) {
    const tls::IoResult result = connection.Read(bytes.data(), bytes.size());
    if (result.io != tls::Io::kProgress) {
      connection.at_end = connection.at_end || result.io == tls::Io::kClosed;
      connection.more_to_read = connection.tls != nullptr && !connection.lingering && connection.tls->HasMore();
      return result.io != tls::Io::kFailed;
    }
    connection.input.append(bytes.data(), result.bytes);
    total += result.bytes;
  }
  connection.more_to_read = connection.tls != nullptr && !connection.lingering;
  return true;
}

bool Listener::Send(Connection& connection, std::string_view bytes) {
  const int64_t deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  while (!bytes.empty()) {
    const tls::IoResult result = connection.Write(bytes);
    if (result.io == tls::Io::kProgress) {
      bytes.remove_prefix(result.bytes);
      continue;
    }
    if (result.io != tls::Io::kBlocked) return false;
    const int64_t left_ms = deadline_ms - clock_.SteadyMs();
    const bool awaits_bytes = connection.tls != nullptr && !connection.tls->wants_write();
    pollfd wait{.fd = connection.fd, .events = static_cast<int16_t>(awaits_bytes ? POLLIN : POLLOUT), .revents = 0};
    if (left_ms <= 0 || poll(&wait, 1, static_cast<int>(left_ms)) == 0) return false;
  }
  return true;
}

Listener::Next Listener::Refuse(Connection& connection, const http::Error& error) {
  return Send(connection, responder_->Refuse(error)) ? Linger(connection) : Next::kClose;
}

// Closing a socket with unread bytes resets it, and the client would lose the answer: the rest is read for a while.
Listener::Next Listener::Linger(Connection& connection) {
  if (connection.tls != nullptr) {
    connection.tls->CloseSending();
  } else {
    shutdown(connection.fd, SHUT_WR);
  }
  connection.input.clear();
  if (connection.at_end) return Next::kClose;
  connection.lingering = true;
  connection.deadline_ms = clock_.SteadyMs() + kLingerMs;
  return Next::kPark;
}

}  // namespace oncegate::control

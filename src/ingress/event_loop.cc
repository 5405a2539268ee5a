#include "ingress/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>
#include <variant>

#include "base/thread_name.h"
#include "gateway/messages.h"

namespace oncegate {

EventLoop::EventLoop(const LoopParts& shared)
    : options_(shared.options),
      parts_(shared.parts),
      tls_(shared.tls),
      mailbox_(std::make_shared<Mailbox>()),
      scratch_(kReadBytes),
      services_{
          .options = options_, .parts = parts_, .mailbox = mailbox_, .scratch = scratch_, .limiter = shared.limiter} {}

EventLoop::~EventLoop() {
  mailbox_->Close();
}

Status EventLoop::Init() {
  epoll_ = OwnedFd(epoll_create1(EPOLL_CLOEXEC));
  if (epoll_.get() < 0 || mailbox_->event_fd() < 0)
    return Unavailable("cannot make an event loop: " + std::generic_category().message(errno));
  return Watch(mailbox_->event_fd(), kMailboxId, EPOLLIN);
}

Status EventLoop::Watch(int fd, uint64_t id, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return Unavailable("cannot watch a socket: " + std::generic_category().message(errno));
  return OkStatus();
}

Status EventLoop::AddListeners(std::vector<Listener> listeners, std::function<void(Accepted)> accept) {
  listeners_ = std::move(listeners);
  accept_ = std::move(accept);
  spare_ = OwnedFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (Status status = Watch(listeners_[i].fd.get(), kListenerIds + i, EPOLLIN); !status.ok()) return status;
  }
  return OkStatus();
}

void EventLoop::Run() {
  NameThisThread("event loop");
  std::array<epoll_event, kEventsAtOnce> events{};
  services_.now_ms = parts_.clock.SteadyMs();
  while (!Finished()) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, WaitMs());
    services_.now_ms = parts_.clock.SteadyMs();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const uint64_t id = event.data.u64;
      if (id == kMailboxId) {
        HandleMessages();
      } else if (id >= kListenerIds) {
        AcceptWaiting(id - kListenerIds);
      } else if (const auto found = connections_.find(id); found != connections_.end()) {
        Connection& connection = *found->second;
        const bool hang_up = (event.events & (EPOLLRDHUP | EPOLLHUP)) != 0;
        const bool broken = (event.events & EPOLLERR) != 0;
        After(connection, !broken && connection.OnReady((event.events & EPOLLIN) != 0, hang_up));
      }
    }
    GiveTurns();
    ExpireDeadlines();
    ResumeAccepting();
  }
  mailbox_->Close();
  connection_count_.store(0);
  for (auto& list : deadlines_) list.clear();
  connections_.clear();
}

void EventLoop::Give(Accepted accepted) {
  connection_count_.fetch_add(1);
  mailbox_->Post({0, AdoptConnection{std::move(accepted)}});
}

bool EventLoop::Finished() const {
  if (stop_deadline_ms_ == 0) return false;
  if (services_.now_ms >= stop_deadline_ms_) return true;
  return std::none_of(connections_.begin(), connections_.end(),
                      [](const auto& entry) { return entry.second->HasUnsent(); });
}

void EventLoop::HandleMessages() {
  for (LoopMessage& message : mailbox_->TakeAll()) Handle(std::move(message));
}

void EventLoop::Handle(LoopMessage message) {
  if (auto* adopt = std::get_if<AdoptConnection>(&message.what)) return Adopt(std::move(adopt->accepted));
  if (std::holds_alternative<StopAccepting>(message.what)) return StopTaking();
  if (const auto* stop = std::get_if<StopLoop>(&message.what)) {
    StopTaking();
    stop_deadline_ms_ = std::max<int64_t>(stop->deadline_ms, 1);
    return;
  }
  const auto found = connections_.find(message.connection);
  if (found == connections_.end()) return;  // the client left; nobody is owed this answer any more
  Connection& connection = *found->second;
  After(connection, connection.OnMessage(std::move(message)));
}

void EventLoop::AcceptWaiting(size_t listener) {
  if (listener >= listeners_.size()) return;
  const int fd = listeners_[listener].fd.get();
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    int error = 0;
    Accepted accepted = AcceptOne(fd, &error);
    if (error == EAGAIN || error == EWOULDBLOCK) return;
    if (error == EMFILE || error == ENFILE) return ShedOne(fd);
    if (error == EINTR || error == ECONNABORTED || error == EPROTO) continue;
    if (error != 0) return PauseAccepting(std::generic_category().message(error));
    accept_(std::move(accepted));
  }
}

// No descriptor is left: the one kept in reserve takes the connection that waits and turns it away, because otherwise
// the listener would stay readable and the loop would spin.
void EventLoop::ShedOne(int listener) {
  spare_.Reset();
  int error = 0;
  const Accepted turned_away = AcceptOne(listener, &error);
  PauseAccepting("no file descriptors are left (raise the limit, see --max-connections)");
}

void EventLoop::PauseAccepting(const std::string& reason) {
  parts_.logger.Log(LogLevel::kError, LogEvent::kError, "error in idempotency ingress: cannot accept connections",
                    {{"reason", std::string_view(reason)}});
  for (const Listener& listener : listeners_) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener.fd.get(), nullptr);
  accept_paused_until_ms_ = services_.now_ms + kAcceptPauseMs;
}

void EventLoop::ResumeAccepting() {
  if (accept_paused_until_ms_ == 0 || services_.now_ms < accept_paused_until_ms_) return;
  accept_paused_until_ms_ = 0;
  if (spare_.get() < 0) spare_ = OwnedFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (size_t i = 0; i < listeners_.size(); ++i) {
    const Status status = Watch(listeners_[i].fd.get(), kListenerIds + i, EPOLLIN);
    if (!status.ok()) return PauseAccepting(status.message());
  }
}

void EventLoop::Adopt(Accepted accepted) {
  if (services_.stopping) {
    connection_count_.fetch_sub(1);
    return;
  }
  const int fd = accepted.fd.get();
  std::unique_ptr<tls::ServerStream> tls;
  if (const auto context = tls_.Get(); context != nullptr) {
    tls = context->Accept(fd);
    // Never in plain text because there is no memory for more.
    if (tls == nullptr) {
      connection_count_.fetch_sub(1);
      return;
    }
  }
  const uint64_t id = next_id_++;
  auto connection = std::make_unique<Connection>(std::move(accepted), std::move(tls), id, services_);
  Connection& adopted = *connection;
  connections_.emplace(id, std::move(connection));
  const Status watched = Watch(fd, id, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  After(adopted, watched.ok());
  if (auto& list = deadlines_[static_cast<size_t>(Awaits::kHandshake)]; list.size() > kHandshakesMax) {
    // The oldest whose client keeps the loop waiting, not one that the loop keeps waiting.
    const auto stalled =
        std::find_if(list.begin(), list.end(), [](const Connection* c) { return !c->deadline.has_turn_coming; });
    After(stalled == list.end() ? *list.front() : **stalled, false);
  }
}

// What every call into a connection ends with: it goes, or its deadline is put where it belongs now.
void EventLoop::After(Connection& connection, bool alive) {
  Connection::DeadlineSlot& slot = connection.deadline;
  if (alive && connection.wants_turn() && !std::exchange(slot.has_turn_coming, true))
    waiting_turn_.push_back(connection.id());
  const Awaits awaits = alive ? connection.awaits() : Awaits::kCount;
  if (alive && slot.awaits == awaits && slot.progress == connection.progress()) return;
  if (!alive) {
    if (slot.awaits != Awaits::kCount) deadlines_[static_cast<size_t>(slot.awaits)].erase(slot.position);
    connections_.erase(connection.id());
    connection_count_.fetch_sub(1);
    return;
  }
  auto& list = deadlines_[static_cast<size_t>(awaits)];
  if (slot.awaits == Awaits::kCount) {
    slot.position = list.insert(list.end(), &connection);
  } else {
    // The same node: every answer comes by here, and need not allocate for it.
    list.splice(list.end(), deadlines_[static_cast<size_t>(slot.awaits)], slot.position);
  }
  slot.awaits = awaits;
  slot.progress = connection.progress();
  slot.deadline_ms = services_.now_ms + DurationOf(awaits);
}

// Those that had to stop in the middle of their work go on, once each; then handshakes, a few at a time, in order.
void EventLoop::GiveTurns() {
  std::vector<uint64_t> turns;
  turns.swap(waiting_turn_);
  std::vector<uint64_t> handshakes;
  for (const uint64_t id : turns) {
    const auto found = connections_.find(id);
    if (found != connections_.end() && found->second->handshaking()) {
      handshakes.push_back(id);
    } else {
      GiveTurn(id);
    }
  }
  const size_t steps = std::min(handshakes.size(), 1 + services_.turn_requests / kRequestsPerHandshake);
  services_.turn_requests = 0;
  for (size_t i = 0; i < steps; ++i) GiveTurn(handshakes[i]);
  waiting_turn_.insert(waiting_turn_.end(), handshakes.begin() + static_cast<std::ptrdiff_t>(steps), handshakes.end());
}

void EventLoop::GiveTurn(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  connection.deadline.has_turn_coming = false;
  if (connection.wants_turn()) After(connection, connection.OnTurn());
}

int64_t EventLoop::DurationOf(Awaits awaits) const {
  switch (awaits) {
    case Awaits::kHandshake:
      return std::min(kHandshakeMsMax, options_.request_timeout_ms);
    case Awaits::kNextRequest:
      return options_.idle_timeout_ms;
    case Awaits::kRestOfRequest:
      return options_.request_timeout_ms;
    case Awaits::kClientReads:
      return kWriteStallMs;
    case Awaits::kClientCloses:
      return kLingerMs;
    case Awaits::kGateway:
    case Awaits::kCount:
      break;
  }
  return 0;  // the gateway has time-outs of its own
}

void EventLoop::ExpireDeadlines() {
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (static_cast<Awaits>(kind) == Awaits::kGateway) continue;
    auto& list = deadlines_[kind];
    while (!list.empty() && list.front()->deadline.deadline_ms <= services_.now_ms) {
      Connection& connection = *list.front();
      After(connection, connection.OnDeadline());
    }
  }
}

int EventLoop::WaitMs() const {
  if (!waiting_turn_.empty()) return 0;
  int64_t next_ms = std::numeric_limits<int64_t>::max();
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (static_cast<Awaits>(kind) != Awaits::kGateway && !deadlines_[kind].empty())
      next_ms = std::min(next_ms, deadlines_[kind].front()->deadline.deadline_ms);
  }
  if (accept_paused_until_ms_ != 0) next_ms = std::min(next_ms, accept_paused_until_ms_);
  if (stop_deadline_ms_ != 0) next_ms = std::min(next_ms, stop_deadline_ms_);
  if (next_ms == std::numeric_limits<int64_t>::max()) return -1;
  return static_cast<int>(std::clamp<int64_t>(next_ms - services_.now_ms, 0, 60'000));
}

// From now on no listener and no idle connection is left; what is being answered is finished.
void EventLoop::StopTaking() {
  services_.stopping = true;
  accept_paused_until_ms_ = 0;
  listeners_.clear();
  std::vector<Connection*> idle;
  for (const auto& [id, connection] : connections_) {
    if (!connection->OnStopping()) idle.push_back(connection.get());
  }
  for (Connection* connection : idle) After(*connection, false);
}

}  // namespace oncegate

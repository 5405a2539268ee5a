#include "upstream/exchange_loop.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/thread_name.h"

namespace oncegate::upstream {
namespace {

// A connection is reported once and then left alone until it is watched again: idle ones, and those that went to
// another thread, wake nobody.
epoll_event EventOf(uint64_t id, int poll_events) {
  epoll_event event{};
  event.events = EPOLLONESHOT | EPOLLRDHUP;
  if ((poll_events & POLLIN) != 0) event.events |= EPOLLIN;
  if ((poll_events & POLLOUT) != 0) event.events |= EPOLLOUT;
  event.data.u64 = id;
  return event;
}

}  // namespace

int64_t ExchangeLoop::Entry::DeadlineMs() const {
  const int64_t idle_ms = forwarding->request().idle_timeout_ms;
  const int64_t end_ms = forwarding->waiter().end_ms();
  return idle_ms > 0 ? std::min(end_ms, progress_ms + idle_ms) : end_ms;
}

ExchangeLoop::ExchangeLoop(const Clock& clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      buffer_(std::make_unique_for_overwrite<char[]>(Exchange::kReadBytes)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  // Without descriptors there is no thread, and nothing is started.
  if (epoll_.valid() && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0)
    thread_ = std::thread([this] { Run(); });
}

ExchangeLoop::~ExchangeLoop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

bool ExchangeLoop::Start(const Order& order, std::unique_ptr<ForwardObserver>& observer) {
  if (!thread_.joinable()) return false;
  {
    const std::lock_guard lock(mutex_);
    // Once the signal is raised EndAborted may already have looked.
    if (order.waiter.aborted()) return false;
    orders_.push_back({order, std::move(observer)});
    if (orders_.size() > 1) return true;  // the thread has been woken and has not looked yet
  }
  Wake();
  return true;
}

void ExchangeLoop::EndAborted() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(mutex_);
  const uint64_t mine = ++aborts_asked_;
  Wake();
  aborts_done_.wait(lock, [&] { return aborts_seen_ >= mine; });
}

void ExchangeLoop::Wake() {
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the thread is awake anyway.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void ExchangeLoop::Run() {
  NameThisThread("exchange loop");
  std::array<epoll_event, kEventsAtOnce> events{};
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, WaitMs());
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id != kWakeId) {
        OnReady(id);
        continue;
      }
      uint64_t wakes = 0;
      [[maybe_unused]] const ssize_t got = read(wake_.get(), &wakes, sizeof wakes);
    }
    TakeOrders();
    // Not before everything that has come was looked at: an answer that is there came in time.
    if (count < kEventsAtOnce) GiveUpExpired();
    GiveUpAborted();
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

int ExchangeLoop::WaitMs() const {
  if (look_again_ms_ == kNever) return -1;
  constexpr int64_t kWaitMsMax = 24 * 3600 * 1000;
  return static_cast<int>(std::clamp<int64_t>(look_again_ms_ - clock_.SteadyMs(), 0, kWaitMsMax));
}

void ExchangeLoop::TakeOrders() {
  std::vector<Ordered> orders;
  {
    const std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (Ordered& ordered : orders) Begin(std::move(ordered));
}

void ExchangeLoop::Begin(Ordered ordered) {
  const Order& order = ordered.order;
  std::unique_ptr<Transport> idle = order.pool.Take();
  if (idle == nullptr) return Tell(std::move(ordered.observer), {ForwardEnd::kNotSent, "no connection is idle"});
  auto forwarding =
      std::make_unique<Forwarding>(std::move(idle), order.request, order.receiver, order.waiter, order.pool);
  Entry entry{std::move(forwarding), std::move(ordered.observer), clock_.SteadyMs()};
  if (!entry.forwarding->exchange().Begin()) return End(std::move(entry));
  const uint64_t id = ++last_id_;
  if (!Watch(id, entry)) return HandOver(std::move(entry));
  look_again_ms_ = std::min(look_again_ms_, entry.DeadlineMs());
  entries_.emplace(id, std::move(entry));
}

bool ExchangeLoop::Watch(uint64_t id, const Entry& entry) {
  epoll_event event = EventOf(id, entry.forwarding->exchange().events());
  const int fd = entry.forwarding->fd();
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return true;
  return errno == ENOENT && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void ExchangeLoop::OnReady(uint64_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  Exchange& exchange = entry.forwarding->exchange();
  const ResponseReceiver& receiver = entry.forwarding->receiver();
  do {
    if (!exchange.Continue({buffer_.get(), Exchange::kReadBytes})) return End(TakeOut(id));
    if (receiver.MayWait()) return HandOver(TakeOut(id));
  } while (exchange.events() == 0);
  entry.progress_ms = clock_.SteadyMs();
  if (!Watch(id, entry)) HandOver(TakeOut(id));
}

// Deadlines move with every progress, so that they are looked at only when the earliest of a while ago has come.
void ExchangeLoop::GiveUpExpired() {
  if (look_again_ms_ == kNever) return;
  const int64_t now_ms = clock_.SteadyMs();
  if (now_ms < look_again_ms_) return;
  look_again_ms_ = kNever;
  std::vector<uint64_t> expired;
  for (const auto& [id, entry] : entries_) {
    const int64_t deadline_ms = entry.DeadlineMs();
    if (deadline_ms <= now_ms)
      expired.push_back(id);
    else
      look_again_ms_ = std::min(look_again_ms_, deadline_ms);
  }
  GiveUp(expired, WaitEnd::kTimedOut);
}

void ExchangeLoop::GiveUpAborted() {
  uint64_t asked = 0;
  {
    const std::lock_guard lock(mutex_);
    asked = aborts_asked_;
    if (asked == aborts_seen_) return;
  }
  TakeOrders();
  std::vector<uint64_t> aborted;
  for (const auto& [id, entry] : entries_) {
    if (entry.forwarding->waiter().aborted()) aborted.push_back(id);
  }
  GiveUp(aborted, WaitEnd::kAborted);
  const std::lock_guard lock(mutex_);
  aborts_seen_ = asked;
  aborts_done_.notify_all();
}

void ExchangeLoop::GiveUp(const std::vector<uint64_t>& ids, WaitEnd why) {
  for (const uint64_t id : ids) {
    Entry entry = TakeOut(id);
    entry.forwarding->exchange().GiveUp(why);
    End(std::move(entry));
  }
}

ExchangeLoop::Entry ExchangeLoop::TakeOut(uint64_t id) {
  return std::move(entries_.extract(id).mapped());
}

// The observer may be the owner of all that the exchange refers to, and the last user of its upstream.
void ExchangeLoop::End(Entry entry) {
  ForwardResult result = entry.forwarding->Finish();
  entry.forwarding.reset();
  Tell(std::move(entry.observer), std::move(result));
}

void ExchangeLoop::Tell(std::unique_ptr<ForwardObserver> observer, ForwardResult result) {
  ForwardObserver& told = *observer;
  told.OnForwarded(std::move(observer), std::move(result));
}

void ExchangeLoop::HandOver(Entry entry) {
  ForwardObserver& told = *entry.observer;
  told.OnMayWait(std::move(entry.observer), std::move(entry.forwarding));
}

}  // namespace oncegate::upstream

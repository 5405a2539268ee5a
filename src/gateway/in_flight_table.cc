#include "gateway/in_flight_table.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <vector>

#include "base/hash.h"
#include "base/thread_name.h"

namespace oncegate {

InFlightTable::InFlightTable(const Clock& clock, Timer timer) : clock_(clock) {
  if (timer == Timer::kThread) timer_thread_ = std::thread([this] { RunTimers(); });
}

InFlightTable::~InFlightTable() {
  ShutDown();
  if (timer_thread_.joinable()) timer_thread_.join();
}

InFlightTable::Shard& InFlightTable::ShardOf(const std::string& key) const {
  return shards_[ShardHash(key) % kShards];
}

InFlightTable::Admission InFlightTable::Admit(const ScopedKey& key, const RequestFacts& facts, int64_t deadline_ms,
                                              std::unique_ptr<Waiter>& waiter) {
  Shard& shard = ShardOf(key.bytes());
  const std::lock_guard lock(shard.mutex);
  auto [position, inserted] = shard.entries.try_emplace(key.bytes());
  Entry& entry = position->second;
  if (inserted || !entry.held) {
    entry.held = true;
    entry.news = false;
    entry.fingerprint = facts.fingerprint;
    return Permit(this, key.bytes());
  }
  const RecordFacts holder{.state = RecordState::kInProgress, .owner_alive = true, .fingerprint = entry.fingerprint};
  const Decision decision = Decide(&holder, facts, 0);
  if (!std::holds_alternative<InFlight>(decision)) return decision;
  if (deadline_ms <= clock_.SteadyMs()) return decision;
  const TimerId timer = AddTimer(deadline_ms, key.bytes());
  if (timer.second == 0) return decision;
  entry.waiting.push_back({timer, false, std::move(waiter)});
  waiting_.fetch_add(1, std::memory_order_relaxed);
  return Parked{};
}

bool InFlightTable::Holds(const ScopedKey& key) const {
  Shard& shard = ShardOf(key.bytes());
  const std::lock_guard lock(shard.mutex);
  const auto entry = shard.entries.find(key.bytes());
  return entry != shard.entries.end() && entry->second.held;
}

std::list<InFlightTable::Waiting> InFlightTable::Take(Entry& entry, bool those_for_lease) {
  std::list<Waiting> taken;
  for (auto one = entry.waiting.begin(); one != entry.waiting.end();) {
    const auto next = std::next(one);
    if (those_for_lease || !one->for_lease) taken.splice(taken.end(), entry.waiting, one);
    one = next;
  }
  return taken;
}

void InFlightTable::EndPermit(const std::string& key, Ending ending) {
  std::list<Waiting> waiting;
  {
    Shard& shard = ShardOf(key);
    const std::lock_guard lock(shard.mutex);
    const auto position = shard.entries.find(key);
    Entry& entry = position->second;
    // A permit that was held for nothing tells nothing about a lease.
    waiting = Take(entry, ending != Ending::kForgot || entry.news);
    entry.held = false;
    if (entry.waiting.empty()) shard.entries.erase(position);
  }
  Wake(std::move(waiting), ending);
}

InFlightTable::Permit::LeaseWait InFlightTable::Permit::WaitForLease(int64_t lease_end_ms, int64_t deadline_ms,
                                                                     std::unique_ptr<Waiter>& waiter) {
  const LeaseWait result = table_->WaitForLease(key_, std::min(lease_end_ms, deadline_ms), waiter);
  if (result == LeaseWait::kParked) table_ = nullptr;
  return result;
}

InFlightTable::Permit::LeaseWait InFlightTable::WaitForLease(const std::string& key, int64_t until_ms,
                                                             std::unique_ptr<Waiter>& waiter) {
  std::list<Waiting> others;
  {
    Shard& shard = ShardOf(key);
    const std::lock_guard lock(shard.mutex);
    Entry& entry = shard.entries.find(key)->second;
    if (std::exchange(entry.news, false)) return Permit::LeaseWait::kLookAgain;
    const TimerId timer = AddTimer(until_ms, key);
    if (timer.second == 0) return Permit::LeaseWait::kClosed;
    others = Take(entry, false);
    entry.held = false;
    entry.waiting.push_back({timer, true, std::move(waiter)});
    waiting_.fetch_add(1, std::memory_order_relaxed);
  }
  Wake(std::move(others), Ending::kForgot);
  return Permit::LeaseWait::kParked;
}

void InFlightTable::Notify(const ScopedKey& key, Ending ending) {
  std::list<Waiting> waiting;
  {
    Shard& shard = ShardOf(key.bytes());
    const std::lock_guard lock(shard.mutex);
    const auto position = shard.entries.find(key.bytes());
    if (position == shard.entries.end()) return;
    Entry& entry = position->second;
    // Whoever holds the permit may have looked before, and wakes the others.
    if (entry.held) {
      entry.news = true;
      return;
    }
    waiting = std::move(entry.waiting);
    shard.entries.erase(position);
  }
  Wake(std::move(waiting), ending);
}

void InFlightTable::Wake(std::list<Waiting> waiting, Ending ending) {
  if (waiting.empty()) return;
  {
    const std::lock_guard lock(timer_mutex_);
    for (const Waiting& one : waiting) timers_.erase(one.timer);
  }
  switch (ending) {
    case Ending::kSettled:
      return WakeAll(std::move(waiting), WakeReason::kSettled);
    case Ending::kForgot:
      return WakeAll(std::move(waiting), WakeReason::kForgot);
    case Ending::kUnknown:
      return WakeAll(std::move(waiting), WakeReason::kUnknown);
  }
}

void InFlightTable::WakeAll(std::list<Waiting> waiting, WakeReason reason) {
  waiting_.fetch_sub(waiting.size(), std::memory_order_relaxed);
  // Whoever is woken may end a permit and so wake others. They are woken in turn, not from within, so that the stack
  // does not grow with the number of waiters.
  thread_local std::deque<std::pair<std::unique_ptr<Waiter>, WakeReason>>* under_way = nullptr;
  std::deque<std::pair<std::unique_ptr<Waiter>, WakeReason>> wakes;
  auto& queue = under_way != nullptr ? *under_way : wakes;
  for (Waiting& one : waiting) queue.emplace_back(std::move(one.waiter), reason);
  if (under_way != nullptr) return;
  under_way = &wakes;
  while (!wakes.empty()) {
    auto [waiter, why] = std::move(wakes.front());
    wakes.pop_front();
    Waiter* woken = waiter.get();
    woken->Wake(std::move(waiter), why);
  }
  under_way = nullptr;
}

InFlightTable::TimerId InFlightTable::AddTimer(int64_t deadline_ms, const std::string& key) {
  const std::lock_guard lock(timer_mutex_);
  if (shut_down_) return {0, 0};
  const TimerId timer{deadline_ms, ++next_timer_};
  const bool first = timers_.empty() || timer < timers_.begin()->first;
  timers_.emplace(timer, key);
  if (first) timer_changed_.notify_one();
  return timer;
}

void InFlightTable::ExpireWaits() {
  const int64_t now_ms = clock_.SteadyMs();
  std::vector<std::pair<TimerId, std::string>> due;
  {
    const std::lock_guard lock(timer_mutex_);
    while (!timers_.empty() && timers_.begin()->first.first <= now_ms) {
      due.emplace_back(*timers_.begin());
      timers_.erase(timers_.begin());
    }
  }
  for (const auto& entry_due : due) {
    const TimerId timer = entry_due.first;
    const std::string& key = entry_due.second;
    std::list<Waiting> expired;
    {
      Shard& shard = ShardOf(key);
      const std::lock_guard lock(shard.mutex);
      const auto entry = shard.entries.find(key);
      if (entry == shard.entries.end()) continue;  // the wait ended by itself in this very moment
      std::list<Waiting>& waiting = entry->second.waiting;
      const auto found =
          std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& one) { return one.timer == timer; });
      if (found == waiting.end()) continue;
      expired.splice(expired.begin(), waiting, found);
      if (!entry->second.held && waiting.empty()) shard.entries.erase(entry);
    }
    WakeAll(std::move(expired), WakeReason::kTimedOut);
  }
}

void InFlightTable::RunTimers() {
  NameThisThread("wait timer");
  std::unique_lock lock(timer_mutex_);
  while (!shut_down_) {
    if (timers_.empty()) {
      timer_changed_.wait(lock);
      continue;
    }
    const int64_t wait_ms = timers_.begin()->first.first - clock_.SteadyMs();
    if (wait_ms > 0) {
      timer_changed_.wait_for(lock, std::chrono::milliseconds(wait_ms));
      continue;
    }
    lock.unlock();
    ExpireWaits();
    lock.lock();
  }
}

void InFlightTable::ShutDown() {
  {
    const std::lock_guard lock(timer_mutex_);
    shut_down_ = true;
    timers_.clear();
    timer_changed_.notify_all();
  }
  std::list<Waiting> waiting;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (auto& [key, entry] : shard.entries) waiting.splice(waiting.end(), entry.waiting);
  }
  WakeAll(std::move(waiting), WakeReason::kShutDown);
}

}  // namespace oncegate

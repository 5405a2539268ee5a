#include "gateway/housekeeper.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/thread_name.h"

namespace oncegate {
namespace {

size_t SizeOf(const UnstoredEnding& ending) {
  return ending.key.bytes().size() + ending.response.head.size() + ending.response.body.size();
}

Status Write(Store& store, const UnstoredEnding& ending) {
  switch (ending.end) {
    case UnstoredEnding::End::kCompleted:
      return store.Complete(ending.key, ending.token, ending.response);
    case UnstoredEnding::End::kReleased:
      return store.Release(ending.key, ending.token);
    case UnstoredEnding::End::kUnknown:
      return store.MarkUnknown(ending.key, ending.token);
  }
  return OkStatus();
}

}  // namespace

Housekeeper::Housekeeper(Store& store, RequestMeter& meter, Logger& logger)
    : store_(store), meter_(meter), logger_(logger), thread_([this] { Run(); }) {}

Housekeeper::~Housekeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  RetryUnstored();
  FlushReplays();
}

void Housekeeper::StoreLater(UnstoredEnding ending) {
  const std::lock_guard lock(mutex_);
  const size_t bytes = SizeOf(ending);
  if (unstored_.size() >= kUnstoredMax || unstored_bytes_ + bytes > kUnstoredBytesMax) {
    logger_.Log(LogLevel::kError, LogEvent::kError,
                "error in idempotency store: too many unstored outcomes, dropped one",
                {{"scope", ending.key.scope()}, {"key", ending.key.key()}});
    return;
  }
  unstored_bytes_ += bytes;
  unstored_.push_back(std::move(ending));
  changed_.notify_all();
}

Housekeeper::CountShard& Housekeeper::ShardOf(const ScopedKey& key) const {
  return shards_[ShardHash(key.bytes()) % kShards];
}

Housekeeper::Replays Housekeeper::Counted::Sum() const {
  Replays sum = here;
  if (tally == nullptr || tally->count() == 0) return sum;
  sum.count += tally->count();
  sum.last_at_ms = std::max(sum.last_at_ms, tally->last_at_ms());
  return sum;
}

void Housekeeper::CountReplay(const ScopedKey& key) {
  Note(key, nullptr, store_.NowMs());
}

void Housekeeper::CountReplay(const KnownOutcome& outcome, int64_t now_ms) {
  if (outcome.tally->Add(now_ms)) Note(outcome.record.key, outcome.tally, now_ms);
}

// Notes one replay, or that the tally has begun to count some.
void Housekeeper::Note(const ScopedKey& key, const std::shared_ptr<ReplayTally>& tally, int64_t now_ms) {
  CountShard& shard = ShardOf(key);
  {
    const std::lock_guard lock(shard.mutex);
    auto known = shard.counts.find(key.bytes());
    if (known == shard.counts.end() && shard.counts.size() < kCountedKeysMax / kShards)
      known = shard.counts.emplace(key.bytes(), Counted{.here = {.first_at_ms = now_ms}, .tally = nullptr}).first;
    if (known == shard.counts.end()) {
      if (tally != nullptr) tally->Take();  // goes uncounted, and the next one tries again
    } else if (tally == nullptr) {
      ++known->second.here.count;
      known->second.here.last_at_ms = now_ms;
    } else if (tally != known->second.tally) {
      // The outcome was read anew, or what was read earlier is still in use.
      const std::shared_ptr<ReplayTally> former = std::exchange(known->second.tally, tally);
      if (former != nullptr) {
        known->second.here.last_at_ms = std::max(known->second.here.last_at_ms, former->last_at_ms());
        known->second.here.count += former->Take();
      }
    }
  }
  // Only the first replay after a flush has to wake the thread.
  if (replays_noticed_.load(std::memory_order_relaxed) || replays_noticed_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  replays_counted_ = true;
  changed_.notify_all();
}

Housekeeper::Replays Housekeeper::PendingReplays(const ScopedKey& key) const {
  CountShard& shard = ShardOf(key);
  const std::lock_guard lock(shard.mutex);
  const auto known = shard.counts.find(key.bytes());
  return known == shard.counts.end() ? Replays{} : known->second.Sum();
}

size_t Housekeeper::unstored() const {
  const std::lock_guard lock(mutex_);
  return unstored_.size();
}

void Housekeeper::Run() {
  NameThisThread("housekeeper");
  std::unique_lock lock(mutex_);
  auto flush_at = std::chrono::steady_clock::time_point::max();
  while (!stopping_) {
    if (replays_counted_ && flush_at == std::chrono::steady_clock::time_point::max())
      flush_at = std::chrono::steady_clock::now() + std::chrono::milliseconds(kReplayFlushIntervalMs);
    if (!unstored_.empty()) {
      changed_.wait_for(lock, std::chrono::milliseconds(kRetryIntervalMs), [this] { return stopping_; });
    } else if (replays_counted_) {
      changed_.wait_until(lock, flush_at, [this] { return stopping_ || !unstored_.empty(); });
    } else {
      changed_.wait(lock, [this] { return stopping_ || !unstored_.empty() || replays_counted_; });
      continue;
    }
    const bool retry = !unstored_.empty();
    const bool flush = std::chrono::steady_clock::now() >= flush_at;
    if (flush) {
      replays_counted_ = false;
      flush_at = std::chrono::steady_clock::time_point::max();
    }
    lock.unlock();
    if (retry) RetryUnstored();
    if (flush) FlushReplays();
    lock.lock();
  }
}

void Housekeeper::RetryUnstored() {
  std::deque<UnstoredEnding> due;
  {
    const std::lock_guard lock(mutex_);
    due.swap(unstored_);
    unstored_bytes_ = 0;
  }
  std::deque<UnstoredEnding> left;
  for (; !due.empty(); due.pop_front()) {
    UnstoredEnding& ending = due.front();
    const Status status = Write(store_, ending);
    if (!status.ok() && status.code() != StatusCode::kConflict) meter_.CountStoreError();
    // One that cannot be written must not keep the others; one whose record is damaged never can.
    if (!status.ok() && status.code() != StatusCode::kConflict && status.code() != StatusCode::kCorruption) {
      left.push_back(std::move(ending));
      continue;
    }
    // A claim that was lost meanwhile was settled by somebody else, whose word counts.
    logger_.Log(
        LogLevel::kInfo, LogEvent::kWarning,
        status.ok() ? "an outcome that could not be stored is stored now"
                    : "an outcome that could not be stored was settled otherwise",
        {{"scope", ending.key.scope()}, {"key", ending.key.key()}, {"reason", std::string_view(status.message())}});
  }
  const std::lock_guard lock(mutex_);
  for (; !left.empty(); left.pop_back()) {
    unstored_bytes_ += SizeOf(left.back());
    unstored_.push_front(std::move(left.back()));
  }
}

void Housekeeper::FlushReplays() {
  replays_noticed_.store(false);
  std::vector<ReplayCount> counts;
  for (CountShard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [bytes, counted] : shard.counts) {
      ScopedKey key;
      if (!ScopedKey::FromBytes(bytes, &key)) continue;
      const Replays here = counted.here;
      const uint64_t tallied = counted.tally == nullptr ? 0 : counted.tally->Take();
      const int64_t last_at_ms =
          tallied == 0 ? here.last_at_ms : std::max(here.last_at_ms, counted.tally->last_at_ms());
      counts.push_back({std::move(key), here.count + tallied, here.first_at_ms, last_at_ms});
    }
    shard.counts.clear();
  }
  if (counts.empty()) return;
  // The counts are approximate by contract: what cannot be written is not worth keeping.
  const Status status = store_.AddReplays(counts);
  if (!status.ok()) {
    meter_.CountStoreError();
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "counts of replays could not be stored",
                {{"reason", status.message()}});
  }
}

}  // namespace oncegate

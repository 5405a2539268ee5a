#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "core/record.h"
#include "gateway/request_meter.h"
#include "store/store.h"

namespace oncegate {

// How a claim ended that the store would not take at the time.
struct UnstoredEnding {
  enum class End : uint8_t { kCompleted, kReleased, kUnknown };
  ScopedKey key;
  Token token{};
  End end = End::kReleased;
  StoredResponse response;  // kCompleted
};

// Does later, on a thread of its own, what need not or could not be done while a client waits: writes down endings that
// the store refused, and counts of replays. Sleeps while there is nothing to do. Thread-safe.
class Housekeeper {
 public:
  static constexpr size_t kUnstoredMax = 1024;
  static constexpr size_t kUnstoredBytesMax = 64 << 20;
  static constexpr size_t kCountedKeysMax = 65'536;
  static constexpr int64_t kRetryIntervalMs = 1000;
  static constexpr int64_t kReplayFlushIntervalMs = 10'000;

  // All of it outlives the housekeeper. The meter counts calls that the store fails.
  Housekeeper(Store& store, RequestMeter& meter, Logger& logger);
  // Writes down what is left, once.
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  // Tries again until the store takes it or says that the claim is lost. Beyond the bounds it is dropped and logged;
  // the record then stays unknown.
  void StoreLater(UnstoredEnding ending);

  // Counts one replay of a key; approximate: beyond kCountedKeysMax keys between two flushes some go uncounted. An
  // outcome that is in memory is counted there: its next replay takes no lock.
  void CountReplay(const ScopedKey& key);
  void CountReplay(const KnownOutcome& outcome, int64_t now_ms);
  // Replays that are counted and not yet written down.
  struct Replays {
    uint64_t count = 0;
    int64_t first_at_ms = 0;  // stored time
    int64_t last_at_ms = 0;
  };
  [[nodiscard]] Replays PendingReplays(const ScopedKey& key) const;

  [[nodiscard]] size_t unstored() const;

 private:
  static constexpr size_t kShards = 64;
  // What was counted here, and the tally where more is being counted; null: nowhere.
  struct Counted {
    Replays here;
    std::shared_ptr<ReplayTally> tally;

    [[nodiscard]] Replays Sum() const;
  };
  struct alignas(64) CountShard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, Counted> counts;  // guarded by mutex
  };

  void Run();
  void RetryUnstored();
  void FlushReplays();
  void Note(const ScopedKey& key, const std::shared_ptr<ReplayTally>& tally, int64_t now_ms);
  CountShard& ShardOf(const ScopedKey& key) const;

  Store& store_;
  RequestMeter& meter_;
  Logger& logger_;
  mutable std::array<CountShard, kShards> shards_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<UnstoredEnding> unstored_;  // guarded by mutex_
  size_t unstored_bytes_ = 0;            // guarded by mutex_
  bool replays_counted_ = false;         // guarded by mutex_
  bool stopping_ = false;                // guarded by mutex_
  std::atomic<bool> replays_noticed_{false};
  std::thread thread_;
};

}  // namespace oncegate

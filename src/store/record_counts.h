#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "core/record.h"

namespace oncegate::store {

// The statistics' share of one record.
struct CountKey {
  RecordState state = RecordState::kInProgress;
  uint32_t type_id = 0;
  int64_t expires_at_ms = kNever;
};

// How many records there are by state, type and time of expiry: what the index of expiry times holds, second by second,
// and how many never expire. Kept in memory so that statistics need no scan. Each second costs 12 bytes for each type
// and state in it. Thread-safe.
class RecordCounts {
 public:
  struct TypeTally {
    int64_t in_progress = 0;
    int64_t completed = 0;
    int64_t unknown = 0;
    int64_t expired = 0;
  };
  struct Tally {
    std::map<uint32_t, TypeTally> by_type;
    std::vector<std::pair<int64_t, uint64_t>> expiring;  // until, count
  };

  // Counts one more (+1) or one less (-1). Times at or before `removed_until_ms()` are left alone: they are no longer
  // counted. Counts may arrive before those they cancel.
  void Add(const CountKey& key, int32_t change);

  // Stops counting what expires at or before `cutoff_ms` and says how many there were. `in_last_second` is how many of
  // those in the cutoff's own second that is.
  uint64_t RemoveUntil(int64_t cutoff_ms, const std::vector<CountKey>& in_last_second);
  // Forgets everything.
  void Clear();
  void SetRemovedUntil(int64_t cutoff_ms);
  [[nodiscard]] int64_t removed_until_ms() const;

  // The counts at `now_ms`. `in_this_second`: the index's entries of now's second that have expired already.
  [[nodiscard]] Tally CountAt(int64_t now_ms, const std::vector<CountKey>& in_this_second) const;

  // The start of the second that holds `ms`.
  static int64_t SecondOf(int64_t ms) { return ms - ms % 1000; }

 private:
  struct Cell {
    uint32_t type_id = 0;
    int32_t count = 0;  // below 0 for a moment, when a removal is counted before what it removes
    uint8_t second = 0;
    RecordState state = RecordState::kCompleted;
  };
  struct Minute {
    std::vector<Cell> cells;  // by second, type, state
  };

  static bool Before(const Cell& a, const Cell& b);
  static void AddTo(std::vector<Cell>* cells, const Cell& change);
  static void CountIn(TypeTally* tally, RecordState state, int64_t count);

  mutable std::mutex mu_;
  // Guarded by mu_.
  std::map<int64_t, Minute> minutes_;         // minutes since 1970 -> what expires in them
  std::map<uint32_t, TypeTally> unexpiring_;  // what never expires
  int64_t removed_until_ms_ = -1;
};

}  // namespace oncegate::store

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace oncegate::store {

// When RocksDB's own compactions of a family rest because they fail. RocksDB would begin the same one again every
// second, and read and write all of it up to where it fails. Not thread-safe.
class CompactionRest {
 public:
  // How long they rest, and twice as long each time that they fail within kRelapseMs of their last rest.
  static constexpr int64_t kRestMsMin = 30'000;
  static constexpr int64_t kRestMsMax = 300'000;
  static constexpr int64_t kRelapseMs = 60'000;

  // Whether they rest now. To be called every few seconds. `failed`: how many have failed so far. `now_ms`: steady.
  bool Update(uint64_t failed, int64_t now_ms) {
    const bool failed_again = failed != failed_;
    failed_ = failed;
    if (until_ms_ && now_ms < *until_ms_) return true;
    if (until_ms_) {
      until_ms_.reset();
      ended_at_ms_ = now_ms;
      return false;
    }
    if (!failed_again) return false;
    const bool relapsed = ended_at_ms_ && now_ms - *ended_at_ms_ < kRelapseMs;
    rest_ms_ = relapsed ? std::min(2 * rest_ms_, kRestMsMax) : kRestMsMin;
    until_ms_ = now_ms + rest_ms_;
    return true;
  }

 private:
  uint64_t failed_ = 0;
  int64_t rest_ms_ = kRestMsMin;
  std::optional<int64_t> until_ms_;     // nothing: they do not rest
  std::optional<int64_t> ended_at_ms_;  // when the last rest ended
};

}  // namespace oncegate::store

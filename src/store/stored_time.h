#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace oncegate::store {

// The store's time: starts at the later of the calendar clock and the time saved last, then follows the steady clock
// alone. So a calendar clock that is moved while the store is open changes nothing, and one that was set back before a
// start cannot bring back what had expired. Immutable; thread-safe.
class StoredTime {
 public:
  StoredTime(const Clock& clock, int64_t saved_ms)
      : clock_(clock), offset_ms_(std::max(saved_ms, clock.WallMs()) - clock.SteadyMs()) {}

  [[nodiscard]] int64_t NowMs() const { return clock_.SteadyMs() + offset_ms_; }

  // `ms` after now, as a time that is not kNever however large `ms` is.
  static int64_t After(int64_t now_ms, int64_t ms) {
    constexpr int64_t kLast = INT64_MAX - 1;
    return ms >= kLast - now_ms ? kLast : now_ms + std::max<int64_t>(ms, 0);
  }

 private:
  const Clock& clock_;
  const int64_t offset_ms_;
};

}  // namespace oncegate::store

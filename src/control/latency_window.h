#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

#include "gateway/request_meter.h"

namespace oncegate::control {

// How long requests took lately: from histograms that only grow, what they grew by since they were read about a minute
// ago. Where nobody asked for longer it is what they grew by since then, or since the start. Thread-safe.
class LatencyWindow {
 public:
  static constexpr int64_t kWindowMs = 60'000;
  static constexpr int64_t kKeepEveryMs = 5'000;

  struct Reading {
    int64_t window_ms = 0;
    DurationCounts replayed;
    DurationCounts executed;
  };

  explicit LatencyWindow(int64_t started_ms) : kept_{{started_ms, {}, {}}} {}

  Reading Read(const RequestMeter& meter, int64_t now_ms);

 private:
  struct Kept {
    int64_t at_ms;
    DurationCounts replayed;
    DurationCounts executed;
  };

  std::mutex mutex_;
  std::deque<Kept> kept_;  // guarded by mutex_; oldest first, never empty, at most kWindowMs / kKeepEveryMs + 2
};

}  // namespace oncegate::control

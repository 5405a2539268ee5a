#include "control/latency_window.h"

namespace oncegate::control {

LatencyWindow::Reading LatencyWindow::Read(const RequestMeter& meter, int64_t now_ms) {
  // Counts that are read under the lock never shrink from one reading to the next.
  const std::lock_guard lock(mutex_);
  const DurationCounts replayed = meter.Durations(Outcome::kReplayed);
  const DurationCounts executed = meter.Durations(Outcome::kExecuted);
  // The newest that is a whole window old is where this one begins.
  while (kept_.size() > 1 && kept_[1].at_ms <= now_ms - kWindowMs) kept_.pop_front();
  const Kept& from = kept_.front();
  const Reading reading{now_ms - from.at_ms, replayed.Since(from.replayed), executed.Since(from.executed)};
  if (now_ms - kept_.back().at_ms >= kKeepEveryMs) kept_.push_back({now_ms, replayed, executed});
  return reading;
}

}  // namespace oncegate::control

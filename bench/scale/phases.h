#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"

// What the benchmark does, in order. Each prints what it found.
namespace oncegate::scale {

struct Plan {
  uint64_t records = 1'000'000;
  int threads = 2;
  int seconds = 10;         // each measurement
  uint64_t rate = 5000;     // replays a second
  int cleanup_ms = 10'000;  // how often the reaper looks
  int settle_s = 5;         // without a change on disk: compactions are done
  std::string directory;
};

// The real clock, some time later.
class LaterClock final : public Clock {
 public:
  explicit LaterClock(int64_t later_ms) : later_ms_(later_ms) {}
  [[nodiscard]] int64_t WallMs() const override { return clock_.WallMs() + later_ms_; }
  [[nodiscard]] int64_t SteadyMs() const override { return clock_.SteadyMs() + later_ms_; }
  [[nodiscard]] int64_t SteadyUs() const override { return clock_.SteadyUs() + later_ms_ * 1000; }

 private:
  const SystemClock clock_;
  const int64_t later_ms_;
};

// A line of the report.
void Print(const std::string& name, double value, const std::string& unit);

// Claims and completes every delivery through the store, as if they had come in over the last twelve hours.
void Load(const Plan& plan, Logger& logger);
// Reads by the store itself: how long one takes with nothing around it.
void ReadStore(const Plan& plan, Logger& logger);
// Everything that is asked of the real process: replays, first deliveries, statistics, memory, and a start after it was
// killed.
void AskServer(const Plan& plan);
// Lets everything expire and waits for the reaper.
void Reclaim(const Plan& plan, Logger& logger);

}  // namespace oncegate::scale

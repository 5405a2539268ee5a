#pragma once

#include <atomic>
#include <cstdint>

namespace oncegate {

// Where time comes from. All code that waits for or compares times gets one of these, so that tests can move time by
// hand. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch by the machine's calendar clock, which operators and NTP may move.
  [[nodiscard]] virtual int64_t WallMs() const = 0;

  // Milliseconds since some fixed moment; never goes back, and counts while the machine sleeps.
  [[nodiscard]] virtual int64_t SteadyMs() const = 0;

  // The same in microseconds, to measure how long something takes.
  [[nodiscard]] virtual int64_t SteadyUs() const = 0;
};

// The machine's clocks (CLOCK_REALTIME and CLOCK_BOOTTIME).
class SystemClock final : public Clock {
 public:
  [[nodiscard]] int64_t WallMs() const override;
  [[nodiscard]] int64_t SteadyMs() const override;
  [[nodiscard]] int64_t SteadyUs() const override;
};

// A clock that stands still until it is told to move; for tests.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_ms) : wall_ms_(wall_ms) {}

  [[nodiscard]] int64_t WallMs() const override { return wall_ms_.load(); }
  [[nodiscard]] int64_t SteadyMs() const override { return steady_ms_.load(); }
  [[nodiscard]] int64_t SteadyUs() const override { return steady_ms_.load() * 1000; }

  // Time passes: both clocks move.
  void Advance(int64_t ms) {
    wall_ms_ += ms;
    steady_ms_ += ms;
  }
  // Somebody sets the calendar clock: only that one moves.
  void SetWall(int64_t wall_ms) { wall_ms_ = wall_ms; }

 private:
  std::atomic<int64_t> wall_ms_;
  std::atomic<int64_t> steady_ms_{1'000'000};
};

}  // namespace oncegate

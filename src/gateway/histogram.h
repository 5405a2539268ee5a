#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace oncegate {

// How many copies there are of everything that many threads count, so that they do not meet at one cache line.
inline constexpr size_t kThreadRows = 32;
// The copy that the calling thread writes to. Threads get theirs in turn, so that threads beyond kThreadRows share.
size_t ThreadRow();

// Bounds of the buckets of durations, in microseconds. Replays take tenths of a millisecond, applications up to two
// minutes.
inline constexpr std::array<int64_t, 25> kDurationBoundsUs{
    25,        50,        75,        100,        150,        200,        300,        500,     750,
    1'000,     2'500,     5'000,     10'000,     25'000,     50'000,     100'000,    250'000, 500'000,
    1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000, 120'000'000};

// What a histogram has counted up to one moment.
struct DurationCounts {
  std::array<uint64_t, kDurationBoundsUs.size() + 1> buckets{};  // each its own; the last is what is beyond all bounds
  uint64_t sum_us = 0;

  [[nodiscard]] uint64_t count() const;
  // The duration below which that part of all lies, from 0 to 1, as if they were spread evenly within their bucket.
  // Beyond the last bound it is the last bound. Nothing where nothing was counted.
  [[nodiscard]] std::optional<double> QuantileUs(double part) const;
  // Less what was counted up to an earlier moment.
  [[nodiscard]] DurationCounts Since(const DurationCounts& earlier) const;
};

// One thread row of a histogram of durations. Thread-safe.
class DurationRow {
 public:
  void Add(int64_t duration_us);
  void AddTo(DurationCounts* counts) const;

 private:
  std::array<std::atomic<uint64_t>, kDurationBoundsUs.size() + 1> buckets_{};
  std::atomic<uint64_t> sum_us_{0};
};

// Counts durations in buckets; counting costs two writes to memory that hardly anybody else writes to. Thread-safe.
class DurationHistogram {
 public:
  void Add(int64_t duration_us) { rows_[ThreadRow()].row.Add(duration_us); }
  [[nodiscard]] DurationCounts Read() const;

 private:
  struct alignas(64) Row {
    DurationRow row;
  };
  std::array<Row, kThreadRows> rows_;
};

}  // namespace oncegate

#include "gateway/histogram.h"

#include <algorithm>
#include <numeric>

namespace oncegate {

size_t ThreadRow() {
  static std::atomic<size_t> next_row{0};
  thread_local const size_t row = next_row.fetch_add(1, std::memory_order_relaxed) % kThreadRows;
  return row;
}

uint64_t DurationCounts::count() const {
  return std::accumulate(buckets.begin(), buckets.end(), uint64_t{0});
}

std::optional<double> DurationCounts::QuantileUs(double part) const {
  const uint64_t all = count();
  if (all == 0) return std::nullopt;
  const double rank = part * static_cast<double>(all);
  uint64_t below = 0;
  for (size_t i = 0; i < kDurationBoundsUs.size(); ++i) {
    if (buckets[i] > 0 && rank <= static_cast<double>(below + buckets[i])) {
      const double from = i == 0 ? 0 : static_cast<double>(kDurationBoundsUs[i - 1]);
      const double to = static_cast<double>(kDurationBoundsUs[i]);
      return from + (to - from) * (rank - static_cast<double>(below)) / static_cast<double>(buckets[i]);
    }
    below += buckets[i];
  }
  return static_cast<double>(kDurationBoundsUs.back());
}

DurationCounts DurationCounts::Since(const DurationCounts& earlier) const {
  DurationCounts since;
  for (size_t i = 0; i < buckets.size(); ++i) since.buckets[i] = buckets[i] - earlier.buckets[i];
  since.sum_us = sum_us - earlier.sum_us;
  return since;
}

void DurationRow::Add(int64_t duration_us) {
  const int64_t us = std::max<int64_t>(duration_us, 0);
  const auto bound = std::lower_bound(kDurationBoundsUs.begin(), kDurationBoundsUs.end(), us);
  buckets_[static_cast<size_t>(bound - kDurationBoundsUs.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(static_cast<uint64_t>(us), std::memory_order_relaxed);
}

void DurationRow::AddTo(DurationCounts* counts) const {
  for (size_t i = 0; i < buckets_.size(); ++i) counts->buckets[i] += buckets_[i].load(std::memory_order_relaxed);
  counts->sum_us += sum_us_.load(std::memory_order_relaxed);
}

DurationCounts DurationHistogram::Read() const {
  DurationCounts counts;
  for (const Row& row : rows_) row.row.AddTo(&counts);
  return counts;
}

}  // namespace oncegate

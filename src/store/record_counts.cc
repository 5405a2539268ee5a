#include "store/record_counts.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace oncegate::store {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDayMs = 24 * kHourMs;

// The ends of the buckets of what expires when, from now.
constexpr std::array<int64_t, 10> kBucketEndsMs = {kMinuteMs,   5 * kMinuteMs, 15 * kMinuteMs, kHourMs,
                                                   6 * kHourMs, 12 * kHourMs,  kDayMs,         7 * kDayMs,
                                                   30 * kDayMs, 365 * kDayMs};

}  // namespace

bool RecordCounts::Before(const Cell& a, const Cell& b) {
  return std::tie(a.second, a.type_id, a.state) < std::tie(b.second, b.type_id, b.state);
}

void RecordCounts::AddTo(std::vector<Cell>* cells, const Cell& change) {
  const auto place = std::lower_bound(cells->begin(), cells->end(), change, Before);
  if (place == cells->end() || Before(change, *place)) {
    cells->insert(place, change);
    return;
  }
  place->count += change.count;
  if (place->count == 0) cells->erase(place);
}

void RecordCounts::CountIn(TypeTally* tally, RecordState state, int64_t count) {
  switch (state) {
    case RecordState::kInProgress:
      tally->in_progress += count;
      return;
    case RecordState::kCompleted:
      tally->completed += count;
      return;
    case RecordState::kUnknown:
      tally->unknown += count;
      return;
  }
}

void RecordCounts::Add(const CountKey& key, int32_t change) {
  const std::lock_guard lock(mu_);
  if (key.expires_at_ms == kNever) {
    CountIn(&unexpiring_[key.type_id], key.state, change);
    return;
  }
  if (key.expires_at_ms <= removed_until_ms_) return;
  const auto second = static_cast<uint8_t>(key.expires_at_ms % kMinuteMs / 1000);
  const auto minute = minutes_.try_emplace(key.expires_at_ms / kMinuteMs).first;
  AddTo(&minute->second.cells, {.type_id = key.type_id, .count = change, .second = second, .state = key.state});
  if (minute->second.cells.empty()) minutes_.erase(minute);
}

uint64_t RecordCounts::RemoveUntil(int64_t cutoff_ms, const std::vector<CountKey>& in_last_second) {
  const int64_t last_second = SecondOf(cutoff_ms);
  int64_t removed = 0;
  for (const CountKey& key : in_last_second) {
    Add(key, -1);
    ++removed;
  }
  const std::lock_guard lock(mu_);
  for (auto minute = minutes_.begin(); minute != minutes_.end() && minute->first * kMinuteMs < last_second;) {
    std::erase_if(minute->second.cells, [&](const Cell& cell) {
      if (minute->first * kMinuteMs + cell.second * 1000 >= last_second) return false;
      removed += cell.count;
      return true;
    });
    minute = minute->second.cells.empty() ? minutes_.erase(minute) : std::next(minute);
  }
  removed_until_ms_ = std::max(removed_until_ms_, cutoff_ms);
  return static_cast<uint64_t>(std::max<int64_t>(removed, 0));
}

void RecordCounts::Clear() {
  const std::lock_guard lock(mu_);
  minutes_.clear();
  unexpiring_.clear();
  removed_until_ms_ = -1;
}

void RecordCounts::SetRemovedUntil(int64_t cutoff_ms) {
  const std::lock_guard lock(mu_);
  removed_until_ms_ = cutoff_ms;
}

int64_t RecordCounts::removed_until_ms() const {
  const std::lock_guard lock(mu_);
  return removed_until_ms_;
}

RecordCounts::Tally RecordCounts::CountAt(int64_t now_ms, const std::vector<CountKey>& in_this_second) const {
  const int64_t this_second = SecondOf(now_ms);
  std::array<int64_t, kBucketEndsMs.size() + 1> buckets{};  // the last: later than all ends
  Tally tally;
  const std::lock_guard lock(mu_);
  tally.by_type = unexpiring_;
  const int64_t last_end = minutes_.empty() ? now_ms : (minutes_.rbegin()->first + 1) * kMinuteMs;
  size_t bucket = 0;
  for (const auto& [number, minute] : minutes_) {
    for (const Cell& cell : minute.cells) {
      const int64_t second = number * kMinuteMs + cell.second * 1000;
      TypeTally& type = tally.by_type[cell.type_id];
      if (second < this_second) {
        type.expired += cell.count;
        continue;
      }
      CountIn(&type, cell.state, cell.count);
      while (bucket < kBucketEndsMs.size() && second >= this_second + kBucketEndsMs[bucket]) ++bucket;
      buckets[bucket] += cell.count;
    }
  }
  for (const CountKey& key : in_this_second) {
    TypeTally& type = tally.by_type[key.type_id];
    CountIn(&type, key.state, -1);
    ++type.expired;
    --buckets[0];
  }
  for (size_t i = 0; i < buckets.size(); ++i) {
    const int64_t until_ms = i < kBucketEndsMs.size() ? this_second + kBucketEndsMs[i] : last_end;
    if (buckets[i] > 0) tally.expiring.emplace_back(until_ms, static_cast<uint64_t>(buckets[i]));
  }
  return tally;
}

}  // namespace oncegate::store

#include <algorithm>

#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

uint64_t NotNegative(int64_t count) {
  return static_cast<uint64_t>(std::max<int64_t>(count, 0));
}

}  // namespace

Result<std::vector<CountKey>> RocksDbStore::LastSecond(int64_t until_ms) {
  const int64_t from_ms = std::max(RecordCounts::SecondOf(until_ms), counts_.removed_until_ms() + 1);
  std::vector<CountKey> keys;
  if (from_ms > until_ms) return keys;
  Database::Range range = database_->Scan(Family::kExpiry, TimeBound(from_ms), TimeBound(until_ms + 1));
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (!CountKeyOfEntry(AsView(range->key()), AsView(range->value()), &keys.emplace_back()))
      return Corruption("an entry of the index of expiry times cannot be read");
  }
  if (!range->status().ok()) return database_->Note(FromRocks(range->status(), "reading the index of expiry times"));
  return keys;
}

void RocksDbStore::FillCounts(const RecordCounts::Tally& tally, StoreStats* stats) {
  for (const auto& [type_id, type] : tally.by_type) {
    const uint64_t in_progress = NotNegative(type.in_progress);
    const uint64_t completed = NotNegative(type.completed);
    const uint64_t unknown = NotNegative(type.unknown);
    const TypeCount count{.type = types_.NameOf(type_id),
                          .active = in_progress + completed + unknown,
                          .expired = NotNegative(type.expired)};
    stats->in_progress += in_progress;
    stats->completed += completed;
    stats->unknown += unknown;
    stats->active += count.active;
    stats->expired += count.expired;
    if (count.active + count.expired > 0) stats->by_type.push_back(count);
  }
  std::sort(stats->by_type.begin(), stats->by_type.end(), [](const TypeCount& a, const TypeCount& b) {
    return a.active != b.active ? a.active > b.active : a.type < b.type;
  });
  for (const auto& [until_ms, count] : tally.expiring) stats->expiring.push_back({until_ms, count});
}

Status RocksDbStore::CountOnce() {
  const std::lock_guard lock(thread_mu_);
  if (counted_) return count_status_;
  counted_ = true;
  count_status_ = CountExpiring(nullptr);
  return count_status_;
}

Result<StoreStats> RocksDbStore::Stats() {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  if (database_->read_only()) {
    if (Status status = CountOnce(); !status.ok()) return status;
  }
  EndLeases();
  StoreStats stats;
  stats.now_ms = NowMs();
  {
    const std::lock_guard lock(thread_mu_);
    stats.exact = counted_ && count_status_.ok();
  }
  Result<std::vector<CountKey>> expired_now = LastSecond(stats.now_ms);
  if (!expired_now.ok()) return expired_now.status();
  FillCounts(counts_.CountAt(stats.now_ms, *expired_now), &stats);
  stats.wal_bytes = database_->WalBytes();
  stats.disk_bytes = database_->Property(rocksdb::DB::Properties::kTotalSstFilesSize) +
                     database_->Property(rocksdb::DB::Properties::kTotalBlobFileSize) + stats.wal_bytes;
  // Memtables are charged to the cache.
  stats.memory_bytes = database_->CacheBytes() + database_->Property(rocksdb::DB::Properties::kEstimateTableReadersMem);
  if (const Result<int64_t> free = platform_.free_space_bytes(options_.directory); free.ok())
    stats.free_bytes = NotNegative(*free);
  return stats;
}

}  // namespace oncegate::store

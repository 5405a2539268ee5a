#include "store/outcome_cache.h"

#include <rocksdb/cache.h>
// Since RocksDB 8 cache.h only names Cache, and what is put in comes with a description instead of a function.
#if __has_include(<rocksdb/advanced_cache.h>)
#include <rocksdb/advanced_cache.h>
#define ONCEGATE_CACHE_TAKES_HELPERS 1
#else
#define ONCEGATE_CACHE_TAKES_HELPERS 0
#endif

#include <string_view>

namespace oncegate::store {
namespace {

// Longer than the places of RocksDB's blocks, which have 16 bytes, with the generation and any key.
constexpr std::string_view kPlacePrefix = "oncegate.outcome";

size_t ChargeOf(const Record& record) {
  size_t bytes = sizeof(Record) + record.key.bytes().size() + record.type.size() + record.claim_id.size() +
                 record.source_ip.size();
  if (record.response) bytes += record.response->head.size() + record.response->body.size();
  for (const HistoryEntry& entry : record.history) bytes += sizeof(entry) + entry.by.size() + entry.detail.size();
  return bytes;
}

#if ONCEGATE_CACHE_TAKES_HELPERS
void Delete(rocksdb::Cache::ObjectPtr record, rocksdb::MemoryAllocator* /*allocator*/) {
  delete static_cast<Record*>(record);
}
const rocksdb::Cache::CacheItemHelper* Deleter() {
  static const rocksdb::Cache::CacheItemHelper helper(rocksdb::CacheEntryRole::kMisc, Delete);
  return &helper;
}
rocksdb::Status Insert(rocksdb::Cache& memory, const std::string& place, Record* record, size_t charge) {
  return memory.Insert(place, record, Deleter(), charge);
}
#else
void Delete(const rocksdb::Slice& /*place*/, void* record) {
  delete static_cast<Record*>(record);
}
rocksdb::Status Insert(rocksdb::Cache& memory, const std::string& place, Record* record, size_t charge) {
  return memory.Insert(place, record, charge, Delete);
}
#endif

}  // namespace

std::string OutcomeCache::PlaceOf(const ScopedKey& key) const {
  const uint64_t generation = generation_.load(std::memory_order_relaxed);
  std::string place;
  place.reserve(kPlacePrefix.size() + sizeof generation + key.bytes().size());
  place.append(kPlacePrefix);
  place.append(reinterpret_cast<const char*>(&generation), sizeof generation);
  place.append(key.bytes());
  return place;
}

std::optional<Record> OutcomeCache::Find(const ScopedKey& key) const {
  rocksdb::Cache::Handle* const handle = memory_->Lookup(PlaceOf(key));
  if (handle == nullptr) return std::nullopt;
  std::optional<Record> record = *static_cast<const Record*>(memory_->Value(handle));
  memory_->Release(handle);
  return record;
}

void OutcomeCache::Put(const Record& record) {
  auto kept = std::make_unique<Record>(record);
  const size_t charge = ChargeOf(record);
  // Without a handle it is the cache's from here on, also where the cache has no room for it.
  (void)Insert(*memory_, PlaceOf(record.key), kept.release(), charge);
}

void OutcomeCache::Forget(const ScopedKey& key) {
  memory_->Erase(PlaceOf(key));
}

}  // namespace oncegate::store

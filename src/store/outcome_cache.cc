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
#include <utility>

namespace oncegate::store {
namespace {

// Longer than the places of RocksDB's blocks, which have 16 bytes, with the generation and any key.
constexpr std::string_view kPlacePrefix = "oncegate.outcome";

// What the cache has a pointer to. It keeps itself alive until the cache drops it; whoever found it keeps it for
// longer.
struct Entry {
  KnownOutcome outcome;
  std::shared_ptr<const Entry> self;
};

rocksdb::Slice SliceOf(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

void Drop(Entry* entry) {
  const std::shared_ptr<const Entry> last = std::move(entry->self);
}

size_t ChargeOf(const Record& record) {
  // What the allocator and the pointers' counts take beside the entry, the tally and half a dozen strings.
  constexpr size_t kBesideBytes = 160;
  size_t bytes = sizeof(Entry) + sizeof(ReplayTally) + kBesideBytes + record.key.bytes().size() + record.type.size() +
                 record.claim_id.size() + record.source_ip.size();
  if (record.response) bytes += record.response->head.size() + record.response->body.size();
  for (const HistoryEntry& entry : record.history) bytes += sizeof(entry) + entry.by.size() + entry.detail.size();
  return bytes;
}

#if ONCEGATE_CACHE_TAKES_HELPERS
void Delete(rocksdb::Cache::ObjectPtr entry, rocksdb::MemoryAllocator* /*allocator*/) {
  Drop(static_cast<Entry*>(entry));
}
const rocksdb::Cache::CacheItemHelper* Deleter() {
  static const rocksdb::Cache::CacheItemHelper helper(rocksdb::CacheEntryRole::kMisc, Delete);
  return &helper;
}
rocksdb::Status Insert(rocksdb::Cache& memory, const rocksdb::Slice& place, Entry* entry, size_t charge) {
  return memory.Insert(place, entry, Deleter(), charge);
}
#else
void Delete(const rocksdb::Slice& /*place*/, void* entry) {
  Drop(static_cast<Entry*>(entry));
}
rocksdb::Status Insert(rocksdb::Cache& memory, const rocksdb::Slice& place, Entry* entry, size_t charge) {
  return memory.Insert(place, entry, charge, Delete);
}
#endif

}  // namespace

// Valid until this thread's next call: a replay allocates nothing for it.
std::string_view OutcomeCache::PlaceOf(const ScopedKey& key) const {
  thread_local std::string place;
  const uint64_t generation = generation_.load(std::memory_order_relaxed);
  place.assign(kPlacePrefix);
  place.append(reinterpret_cast<const char*>(&generation), sizeof generation);
  place.append(key.bytes());
  return place;
}

std::shared_ptr<const KnownOutcome> OutcomeCache::Find(const ScopedKey& key) const {
  rocksdb::Cache::Handle* const handle = memory_->Lookup(SliceOf(PlaceOf(key)));
  if (handle == nullptr) return nullptr;
  const std::shared_ptr<const Entry> entry = static_cast<const Entry*>(memory_->Value(handle))->self;
  memory_->Release(handle);
  return {entry, &entry->outcome};
}

void OutcomeCache::Put(const Record& record) {
  const size_t charge = ChargeOf(record);
  const auto entry = std::make_shared<Entry>(Entry{.outcome = {.record = record}, .self = nullptr});
  entry->self = entry;
  // Without a handle it is the cache's from here on, also where the cache has no room for it.
  (void)Insert(*memory_, SliceOf(PlaceOf(record.key)), entry.get(), charge);
}

void OutcomeCache::Forget(const ScopedKey& key) {
  memory_->Erase(SliceOf(PlaceOf(key)));
}

}  // namespace oncegate::store

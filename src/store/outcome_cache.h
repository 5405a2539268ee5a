#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "store/store_types.h"

namespace rocksdb {
class Cache;
}  // namespace rocksdb

// For the .cc files of this folder only.
namespace oncegate::store {

// Outcomes that were asked for lately, decoded: the next replay of one need not look for it in memtables and tables.
// They share the memory of RocksDB's cache with its blocks; what was used least lately goes first. Thread-safe.
//
// What it holds is what the store holds. An outcome is put in by whoever has read it under the lock of its key's shard,
// and taken out under that lock before anything else is written for the key (AppendTransition). One that has expired
// may still be found: whoever finds it looks at the time.
class OutcomeCache {
 public:
  explicit OutcomeCache(std::shared_ptr<rocksdb::Cache> memory) : memory_(std::move(memory)) {}

  // Null if it is not there. What is found stays as it is, also once it is forgotten.
  [[nodiscard]] std::shared_ptr<const KnownOutcome> Find(const ScopedKey& key) const;
  // REQUIRES: the lock of the key's shard. Where there is no memory for it nothing happens.
  void Put(const Record& record);
  // REQUIRES: the lock of the key's shard.
  void Forget(const ScopedKey& key);
  // Forgets everything.
  void Clear() { generation_.fetch_add(1); }

 private:
  [[nodiscard]] std::string_view PlaceOf(const ScopedKey& key) const;

  const std::shared_ptr<rocksdb::Cache> memory_;
  std::atomic<uint64_t> generation_{0};  // part of every place, so that those of earlier ones are not found
};

}  // namespace oncegate::store

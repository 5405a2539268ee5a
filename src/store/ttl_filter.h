#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

namespace rocksdb {
class CompactionFilterFactory;
}

namespace oncegate::store {

// Until when compactions may drop what has expired. Shared by every filter and raised by cleanups only; 0 (nothing may
// be dropped) until the first cleanup after a start. Thread-safe.
using FilterCutoff = std::atomic<int64_t>;

// Finds out when an entry expires; false if it cannot tell. Must not allocate or throw.
using ExpiresAtFunction = bool (*)(std::string_view key, std::string_view value, int64_t* expires_at_ms) noexcept;

// Where a family's entries say when they expire.
enum class ExpiryIn { kKey, kValue };

// Makes filters that drop the entries whose time is at or before the cutoff, and keep what they cannot read.
// The cutoff is read once for each compaction. `cutoff` is shared because RocksDB may hold the factory for longer than
// the store lives.
std::shared_ptr<rocksdb::CompactionFilterFactory> NewTtlFilterFactory(std::shared_ptr<const FilterCutoff> cutoff,
                                                                      ExpiryIn where, ExpiresAtFunction expires_at);

}  // namespace oncegate::store

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/rocksdb_store.h"

namespace oncegate {

// What a full scan of a store's directory finds: the truth that statistics are held against.
struct StoreScan {
  // Each a sentence: records without an index entry or body, entries and bodies without a record, what cannot be read.
  std::vector<std::string> damage;
  // As in StoreStats. What a cleanup has taken out of the statistics is left out, whether or not it is still on disk.
  uint64_t in_progress = 0;
  uint64_t completed = 0;
  uint64_t unknown = 0;
  uint64_t expired = 0;
};

// Scans the closed store in `options.directory`, at a moment of stored time.
StoreScan ScanStore(const RocksDbStoreOptions& options, int64_t now_ms);

// What differs between the statistics and the scan, each a sentence.
std::vector<std::string> DifferencesOf(const StoreStats& stats, const StoreScan& scan);

}  // namespace oncegate

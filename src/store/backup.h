#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "store/rocksdb_store.h"

namespace oncegate {

// What can be done with a store that no server uses. Errors as OpenRocksDbStore; Conflict if a server does use it.

// As Store::Backup.
Result<BackupReport> BackUpDirectory(const RocksDbStoreOptions& options, const std::string& backups, uint32_t keep,
                                     const Clock& clock, Logger& logger);

struct RestoreRequest {
  std::string backups;    // a directory that Backup wrote to
  uint32_t id = 0;        // of the backup; 0: the latest
  std::string directory;  // created if absent, and otherwise empty
};
struct RestoreReport {
  uint32_t id = 0;
  int64_t taken_at_ms = 0;
  uint64_t bytes = 0;
};
// Makes a store of a backup, marked as restored: RocksDbStoreOptions::restored. The directory is a store once this has
// returned OK, and not before: what an interrupted call leaves is refused by everything that opens stores.
// NotFound if there is no such backup; InvalidArgument for a directory that is not empty; Corruption if the backup is
// damaged.
Result<RestoreReport> RestoreBackup(const RestoreRequest& request, const Clock& clock, Logger& logger);

}  // namespace oncegate

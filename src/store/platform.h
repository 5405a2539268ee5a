#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "store/directory.h"
#include "store/rocksdb_store.h"

namespace rocksdb {
class Env;
}

// For the .cc files of this folder and for tests/store only.
namespace oncegate::store {

// What the store stands on, so that tests can put a disk under it that fails.
struct Platform {
  rocksdb::Env* env = nullptr;  // null: the machine's; must outlive the store
  std::function<Result<int64_t>(const std::string& directory)> free_space_bytes = FreeSpaceBytes;
  // What a log of synced writes sets aside at a time (log_room.h). At this size one write in some hundreds pays for it.
  size_t log_room_bytes = 1 << 20;
};

// As OpenRocksDbStore, on `platform`.
Result<std::unique_ptr<Store>> OpenRocksDbStoreOn(const Platform& platform, const RocksDbStoreOptions& options,
                                                  const Clock& clock, Logger& logger);

}  // namespace oncegate::store

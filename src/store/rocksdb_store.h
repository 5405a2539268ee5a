#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "store/store.h"

namespace oncegate {

enum class Durability : uint8_t {
  kSync,   // claims and outcomes are on disk before the call returns: they survive power loss
  kAsync,  // they are with the kernel: they survive the process being killed, not power loss
};

struct RocksDbStoreOptions {
  std::string directory;  // created with mode 0700 if absent
  Durability durability = Durability::kSync;
  int64_t cleanup_interval_ms = 60'000;  // how often the reaper looks for expired data; 0: only when asked
  int64_t cache_bytes = 128LL << 20;
  int64_t memtable_bytes = 64LL << 20;
  // Below this much free space on the store's file system new claims are refused (NoSpace) while reads go on.
  int64_t free_space_bytes_min = 64LL << 20;
  // A restored store is opened only if this says what becomes of the keys that it may have forgotten, and is a restored
  // one until the time for which keys are remembered has passed since it was first opened so.
  std::optional<RestoredPolicy> restored;
  int64_t remembered_ms = 24LL * 3600 * 1000;
  // Only reads: no recovery, no reaper, no lock; for looking at a directory that no server uses.
  bool read_only = false;
};

// Opens (and creates, if need be) the RocksDB store in `options.directory`. Claims that gateways of an earlier process
// left in progress are unknown when this returns. `clock` and `logger` must outlive the store.
// Errors, each with a message that names the directory and says what is wrong: Conflict (another process uses it),
// InvalidArgument (not a store of ours, of a newer format, or a restored one without options.restored), Unavailable
// (permissions, read-only file system), NoSpace, Corruption. A store whose writes fail recovers by itself when the disk
// works again: the database is then opened anew by a thread of the store's own, a second after the
// attempt before or a few. Meanwhile reads wait up to half a second, other calls two, and then are Busy; if it cannot
// be opened for writing after all, reads go on.
Result<std::unique_ptr<Store>> OpenRocksDbStore(const RocksDbStoreOptions& options, const Clock& clock, Logger& logger);

}  // namespace oncegate

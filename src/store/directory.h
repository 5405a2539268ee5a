#pragma once

#include <string>

#include "base/status.h"

namespace oncegate::store {

// What a backup is restored into, below the data directory, until it is whole.
inline constexpr const char* kUnfinishedRestoreName = "restore-unfinished";

enum class DirectoryState {
  kEmpty,     // nothing there, or what an interrupted creation left: a store may be created
  kDatabase,  // holds a database, ours or not
};

// Makes sure that `directory` exists (created with mode 0700 unless `read_only`) and says what it holds. Never writes
// into a directory that was there. Errors as OpenRocksDbStore.
Result<DirectoryState> PrepareDirectory(const std::string& directory, bool read_only);

// The bytes that the file system of `directory` has left for this process.
Result<int64_t> FreeSpaceBytes(const std::string& directory);

}  // namespace oncegate::store

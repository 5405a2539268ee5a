#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace oncegate::store {

// `base`, on which compactions leave some room on the disk: one that would take more fails for want of space, which
// stops nobody (background_errors.h). Otherwise a large one could take the last byte from logs and flushes, give it
// back when it fails, and take it again a second later.
//
// `bytes`: how much is left; 0: compactions may take everything. Thread-safe.
std::shared_ptr<rocksdb::FileSystem> NewCompactionRoom(const std::shared_ptr<rocksdb::FileSystem>& base,
                                                       uint64_t bytes);

}  // namespace oncegate::store

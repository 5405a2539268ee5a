#pragma once

#include <memory>

#include "base/log.h"

namespace rocksdb {
class Logger;
}

namespace oncegate::store {

// Where RocksDB's own log goes: its errors into ours as warnings, its warnings at debug level, nothing else; null: all
// is dropped. It must not keep a file beside the data, which is what it does by itself: after a failed write of that
// file, on a full disk, the next one aborts the process. Also, a directory that may not be ours gets no log that way.
std::shared_ptr<rocksdb::Logger> NewRocksLog(Logger* logger);

}  // namespace oncegate::store

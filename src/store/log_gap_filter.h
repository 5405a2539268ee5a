#pragma once

#include <memory>

#include "base/log.h"

namespace rocksdb {
class WalFilter;
}

namespace oncegate::store {

// Ends the replay of logs at the first gap between two of them, and says so in our log (null: it does not). Without
// syncs a power cut may take the whole of what a log held, or whole records off its end, and leave the next log:
// RocksDB sees no damage then, and would take what was written later for what came next. (Of a record that is torn it
// knows, and ends the replay by itself.)
//
// Sequence numbers tell: they count what batches hold, and go on from log to log. They skip the batches whose write
// failed; but then RocksDB takes no other before all that it had is in tables, so that the logs of before are not read
// any more. For one opening; not thread-safe.
std::unique_ptr<rocksdb::WalFilter> NewLogGapFilter(Logger* logger);

}  // namespace oncegate::store

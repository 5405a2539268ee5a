#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace rocksdb {
class EventListener;
class Status;
}  // namespace rocksdb

namespace oncegate::store {

// What RocksDB's background threads could not do. Thread-safe.
struct BackgroundErrors {
  // RocksDB refuses writes and flushes from now on; only opening it anew is trusted to end that (repair.cc).
  std::atomic<bool> kept{false};
  std::atomic<uint64_t> failed_compactions{0};
  std::atomic<uint64_t> total{0};  // failed compactions, too
};

// Counts errors, and keeps RocksDB from recovering by itself: from a full disk it would not before it sees as much room
// as it thinks that it needs, and until then it fails every flush with the old error, also those of the cleanup that
// would make room; and a stalled write waits for it.
//
// A compaction that failed is no reason to refuse anything: what it read is still there. RocksDB tries it again after a
// second, until somebody lets compactions rest (compaction_rest.h). `damaged` is told of what is not as it was written,
// in RocksDB's thread.
//
// `errors` and what `damaged` uses must outlive the database that this listens to. Thread-safe.
std::shared_ptr<rocksdb::EventListener> NewErrorListener(BackgroundErrors* errors,
                                                         std::function<void(const rocksdb::Status&)> damaged);

}  // namespace oncegate::store

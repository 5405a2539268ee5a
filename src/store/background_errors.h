#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace rocksdb {
class EventListener;
class Status;
}  // namespace rocksdb

namespace oncegate::store {

// What RocksDB's background threads could not do. Thread-safe.
struct BackgroundErrors {
  // RocksDB refuses writes and flushes from now on; only opening it anew is trusted to end that (repair.cc).
  std::atomic<bool> kept{false};
  std::atomic<uint64_t> total{0};  // failed compactions, too, also those that somebody asked for
};

// Called in RocksDB's threads.
struct ErrorCalls {
  // Something is not as it was written.
  std::function<void(const rocksdb::Status&)> damaged;
  // A compaction that RocksDB had begun by itself failed in this family.
  std::function<void(const std::string& family)> compaction_failed;
};

// Counts errors, and keeps RocksDB from recovering by itself: from a full disk it would not before it sees as much room
// as it thinks that it needs, and until then it fails every flush with the old error, also those of the cleanup that
// would make room; and a stalled write waits for it.
//
// A compaction that failed is no reason to refuse anything: what it read is still there. RocksDB tries it again after a
// second, until somebody lets compactions rest (compaction_rest.h).
//
// `errors` and what `calls` use must outlive the database that this listens to. Thread-safe.
std::shared_ptr<rocksdb::EventListener> NewErrorListener(BackgroundErrors* errors, ErrorCalls calls);

}  // namespace oncegate::store

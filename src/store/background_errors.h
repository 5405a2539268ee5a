#pragma once

#include <atomic>
#include <functional>
#include <memory>

namespace rocksdb {
class EventListener;
class Status;
}  // namespace rocksdb

namespace oncegate::store {

// Sets `*kept` when RocksDB keeps an error of its background threads, from which on it refuses writes, flushes or
// compactions; only opening it anew is trusted to end that (repair.cc). Keeps RocksDB from recovering by itself: from a
// full disk it would not before it sees as much room as it thinks that it needs, and until then it fails every flush
// with the old error, also those of the cleanup that would make room; and a stalled write waits for it.
//
// Two are no such errors. A compaction that found no room: nothing is lost or late, and RocksDB tries again after a
// second. And damage, which opening anew does not mend: `damaged` is told, in RocksDB's thread.
//
// `kept` and what `damaged` uses must outlive the database that this listens to. Thread-safe.
std::shared_ptr<rocksdb::EventListener> NewErrorListener(std::atomic<bool>* kept,
                                                         std::function<void(const rocksdb::Status&)> damaged);

}  // namespace oncegate::store

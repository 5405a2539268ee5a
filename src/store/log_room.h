#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace oncegate::store {

// For database.cc and tests. A file system whose logs of writes have room behind them: zeros that are on disk before
// what is written there. A sync then writes data alone, where otherwise the file grows with each and its inode has to
// be written, too: on ext4 a third to half of a sync's time and processor time (docs/decisions.md). PostgreSQL does the
// same with its log.
//
// RocksDB's reader takes zeros for the end of a log, but not for what an interrupted write has left among them: when it
// recovers, it is given each log up to its last whole record (LogJudge), unless that is damaged. Thread-safe.
class LogRoom final : public rocksdb::FileSystemWrapper {
 public:
  // `room_bytes`: how much is set aside at a time; 0: none, and logs are as long as what is in them.
  LogRoom(const std::shared_ptr<rocksdb::FileSystem>& base, size_t room_bytes);
  ~LogRoom() override;
  LogRoom(const LogRoom&) = delete;
  LogRoom& operator=(const LogRoom&) = delete;

  const char* Name() const override { return "oncegate.LogRoom"; }

  // Whether logs are opened for recovery now, up to where they end. REQUIRES, while it is so: no log is being written,
  // and every write to those that are there was synced before the next.
  void set_recovering(bool recovering) { recovering_ = recovering; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  // Of a log that is being written: without the room, so that copies of it hold what is complete.
  rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& options, uint64_t* bytes,
                                rocksdb::IODebugContext* debug) override;

 private:
  class Log;
  using Written = std::shared_ptr<const std::atomic<uint64_t>>;

  const std::string room_;  // zeros
  std::atomic<bool> recovering_{false};
  std::mutex mutex_;
  std::map<std::string, Written> open_;  // guarded by mutex_; logs that are being written, by path
};

}  // namespace oncegate::store

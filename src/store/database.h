#pragma once

#include <rocksdb/db.h>
#include <rocksdb/version.h>
#include <rocksdb/write_buffer_manager.h>
// Since RocksDB 8 cache.h only names Cache.
#if __has_include(<rocksdb/advanced_cache.h>)
#include <rocksdb/advanced_cache.h>
#endif

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/status.h"
#include "store/background_errors.h"
#include "store/compaction_rest.h"
#include "store/log_room.h"
#include "store/open_claims.h"
#include "store/outcome_cache.h"
#include "store/platform.h"
#include "store/rocksdb_store.h"
#include "store/ttl_filter.h"

// For the .cc files of this folder only: the one header that shows RocksDB.
namespace oncegate::store {

// The column families; docs/record-format.md says what each holds.
enum class Family : size_t { kDefault, kRecords, kBodies, kExpiry, kOpen, kCreated, kLabels, kReplays };
inline constexpr size_t kFamilyCount = 8;
// Those whose entries expire.
inline constexpr std::array<Family, 7> kExpiringFamilies = {Family::kRecords, Family::kBodies,  Family::kExpiry,
                                                            Family::kOpen,    Family::kCreated, Family::kLabels,
                                                            Family::kReplays};

// The formats of the whole directory that this program opens. A new one has the first, and gets the next with the first
// record that needs it (AppendTransition), so that going back to an earlier program works as long as it can.
inline constexpr int kFormatVersion = 2;
inline constexpr int kFormatVersionOfNew = 1;

// What stands in the default family.
inline constexpr std::string_view kFormatKey = "oncegate.format";               // version, decimal
inline constexpr std::string_view kLogsKey = "oncegate.logs";                   // "async" or "sync"; none: sync
inline constexpr std::string_view kStoredTimeKey = "oncegate.stored_time";      // ms, u64
inline constexpr std::string_view kRemovedUntilKey = "oncegate.removed_until";  // ms, u64
inline constexpr std::string_view kRememberedKey = "oncegate.remembered";       // ms, u64: the longest ttl of a claim
inline constexpr std::string_view kRestoredKey = "oncegate.restored";           // RestoredMark; none: not restored
inline constexpr std::string_view kTypePrefix = "oncegate.type/";               // + id:u32 -> name

// How large a table file of the family gets.
uint64_t TableBytesMax(Family family);

inline rocksdb::Slice AsSlice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
inline std::string_view AsView(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// Takes one DisableFileDeletions back. Since RocksDB 9 it has no parameter that says so.
inline void EnableFileDeletions(rocksdb::DB& database) {
#if ROCKSDB_MAJOR >= 9
  (void)database.EnableFileDeletions();
#else
  (void)database.EnableFileDeletions(/*force=*/false);
#endif
}

// A RocksDB status as ours. `doing` says what was attempted ("reading a record").
Status FromRocks(const rocksdb::Status& status, std::string_view doing);

// An open RocksDB with our families and options. Thread-safe.
class Database {
 public:
  // Opens or creates; errors as OpenRocksDbStore. `logger`, which gets what RocksDB reports, may be null.
  static Result<std::unique_ptr<Database>> Open(const RocksDbStoreOptions& options, const Platform& platform,
                                                Logger* logger);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // False after a Reopen that could not even open it for reading; then nothing else may be called but Reopen.
  [[nodiscard]] bool is_open() const { return db_ != nullptr; }
  [[nodiscard]] rocksdb::DB& db() { return *db_; }
  [[nodiscard]] rocksdb::ColumnFamilyHandle* Handle(Family family) { return handles_[static_cast<size_t>(family)]; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] FilterCutoff& filter_cutoff() { return *filter_cutoff_; }
  [[nodiscard]] OutcomeCache& outcomes() { return outcomes_; }
  [[nodiscard]] OpenClaims& open_claims() { return open_claims_; }

  // True and the value, or false if there is none.
  Result<bool> Get(Family family, std::string_view key, rocksdb::PinnableSlice* value);

  // The stored time that was saved last; 0: none was.
  Result<int64_t> SavedTimeMs();

  // Remembers that something read was not what was written: the first of these, until the database goes. Statuses other
  // than Corruption are left alone. Returns `status`.
  Status Note(Status status);
  // The same for what was read under a key; adds the files that may hold it, unless one is named already.
  Status Note(Status status, Family family, std::string_view key);
  // What was remembered; OK if nothing.
  Status damage();

  // Writes all of it or nothing, as durably as the store was opened to be. After a failure of the disk RocksDB refuses
  // writes until it is opened again.
  Status Write(rocksdb::WriteBatch* batch);
  // The last write failed, or RocksDB keeps an error of its background threads and will fail.
  [[nodiscard]] bool failing() const {
    return write_failing_.load() || errors_.kept.load() || manifest_in_doubt_.load();
  }
  // How often RocksDB's background threads could not do something.
  [[nodiscard]] uint64_t background_errors() const { return errors_.total.load(); }
  // Lets compactions that RocksDB begins rest or go on, in each family for itself (compaction_rest.h); those of
  // cleanups are not concerned. To be called by one thread, every few seconds. `now_ms`: steady. After an error the
  // next call tries again.
  Status UpdateCompactionRest(int64_t now_ms);

  // While it lives no file is deleted.
  class FilesKept;
  FilesKept KeepFiles();
  // Begins a new manifest if the last change could not be written to the present one, so that what stands there is of
  // no account. Until that works no file is deleted, and the database is failing.
  void RenewManifest();
  // Tries again what failed.
  void RenewManifestIfInDoubt();

  // Whether a file can be written and synced now, with room for what the logs hold.
  bool DiskTakesWrites();
  // Closes and opens it. If that fails it is opened for reading, and Write says why it cannot.
  // REQUIRES: nobody uses it meanwhile, and no iterator or snapshot is left.
  Status Reopen();

  // An iterator over [lower, upper) that does not displace what readers have cached. `snapshot` may be null.
  class Range;
  Range Scan(Family family, std::string lower, std::string upper, const rocksdb::Snapshot* snapshot = nullptr);

  // The sum over all families of one of RocksDB's integer properties.
  uint64_t Property(const rocksdb::Slice& name);
  uint64_t WalBytes();
  uint64_t CacheBytes() const { return cache_->GetUsage(); }

 private:
  Database(const RocksDbStoreOptions& options, const Platform& platform, Logger* logger);
  Status SyncParentOf(const std::string& directory);
  Status OpenAll(const std::string& directory, bool for_reading);
  void Close();
  void CountFailedCompaction(const std::string& family);
  Status CheckUnused();
  Status CheckFormat(const std::string& directory);
  Status CheckLogs();
  rocksdb::Status WriteOrStall(rocksdb::WriteBatch* batch);
  Status WriteMarks(const std::string& directory);
  [[nodiscard]] rocksdb::DBOptions MakeDbOptions();
  [[nodiscard]] rocksdb::ColumnFamilyOptions MakeFamilyOptions(Family family) const;

  // Constant after Open.
  const std::shared_ptr<LogRoom> log_room_;
  const std::unique_ptr<rocksdb::Env> env_;
  Logger* const logger_;
  const std::string directory_;
  const bool read_only_;
  const bool sync_;
  const int64_t cache_bytes_;
  const int64_t memtable_bytes_;
  // Whether the logs in the directory were written without syncs.
  bool async_logs_ = false;
  const std::shared_ptr<FilterCutoff> filter_cutoff_ = std::make_shared<FilterCutoff>(0);
  // Memtables are charged to the cache, so that both together stay within their sum.
  const std::shared_ptr<rocksdb::Cache> cache_;
  const std::shared_ptr<rocksdb::WriteBufferManager> write_buffers_;
  OutcomeCache outcomes_;
  OpenClaims open_claims_;
  BackgroundErrors errors_;                      // RocksDB keeps a pointer to it
  std::unique_ptr<rocksdb::WalFilter> log_gap_;  // RocksDB keeps a pointer to it
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount> handles_{};

  struct FamilyRest {
    CompactionRest rest;
    std::optional<bool> told = false;  // what RocksDB was told last; nothing: part of it, perhaps
  };
  std::array<FamilyRest, kFamilyCount> rests_;
  std::array<std::atomic<uint64_t>, kFamilyCount> failed_compactions_{};

  std::mutex manifest_mu_;
  std::atomic<bool> manifest_in_doubt_{false};  // changed under manifest_mu_; then no file is deleted

  Status reopen_status_;  // why it is only open for reading
  std::atomic<bool> write_failing_{false};
  std::atomic<bool> write_failed_{false};  // some write since it was opened
  std::mutex damage_mu_;
  Status damage_;  // guarded by damage_mu_
};

class Database::FilesKept {
 public:
  explicit FilesKept(Database& database) : database_(database) { (void)database_.db().DisableFileDeletions(); }
  ~FilesKept() { EnableFileDeletions(database_.db()); }
  FilesKept(const FilesKept&) = delete;
  FilesKept& operator=(const FilesKept&) = delete;

 private:
  Database& database_;
};

// See Database::Scan. Owns its bounds. Not thread-safe.
class Database::Range {
 public:
  Range(Database& database, Family family, std::string lower, std::string upper, const rocksdb::Snapshot* snapshot);

  [[nodiscard]] rocksdb::Iterator& operator*() { return *iterator_; }
  [[nodiscard]] rocksdb::Iterator* operator->() { return iterator_.get(); }

 private:
  // On the heap, because the iterator points at them and a Range may be moved.
  struct Bounds {
    std::string lower;
    std::string upper;
    rocksdb::Slice lower_slice;
    rocksdb::Slice upper_slice;
  };
  std::unique_ptr<Bounds> bounds_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

}  // namespace oncegate::store

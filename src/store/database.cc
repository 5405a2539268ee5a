#include "store/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/wal_filter.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "store/bytes.h"
#include "store/codec.h"
#include "store/compaction_room.h"
#include "store/damage.h"
#include "store/directory.h"
#include "store/keys.h"
#include "store/log_gap_filter.h"
#include "store/rocks_log.h"

namespace oncegate::store {
namespace {

constexpr std::array<const char*, kFamilyCount> kFamilyNames = {"default", "records", "bodies", "expiry",
                                                                "open",    "created", "labels", "replays"};

// How long a write waits at most while RocksDB stalls writes, and how often it tries meanwhile (WriteOrStall).
constexpr int64_t kStallMsMax = 5000;
constexpr int64_t kStallStepMs = 10;

bool IsLockError(const std::string& text) {
  return text.find("While lock file") != std::string::npos ||
         text.find("lock hold by current process") != std::string::npos;
}

Status DamagedIn(const std::string& directory, const std::vector<std::string>& files, const std::string& text) {
  std::string message = "the data directory " + directory + " is damaged";
  for (size_t i = 0; i < files.size(); ++i) message += (i == 0 ? " in " : ", ") + files[i];
  return Corruption(message + ": " + text);
}

Status FromOpen(const rocksdb::Status& status, const std::string& directory) {
  const std::string text = status.ToString();
  if (status.IsCorruption()) return DamagedIn(directory, DamagedFiles(directory), text);
  if (status.IsIOError() && IsLockError(text))
    return Conflict("the data directory " + directory + " is in use by another process");
  // RocksDB reports a missing file as an I/O error; one that the manifest names is lost data.
  if (status.IsPathNotFound() || text.find("No such file or directory") != std::string::npos)
    return Corruption("the data directory " + directory + " lacks a file: " + text);
  if (status.IsInvalidArgument())
    return InvalidArgument("the data directory " + directory + " is not a store of oncegate: " + text);
  return FromRocks(status, "opening the data directory " + directory);
}

struct Marks {
  int format = 0;  // 0: the directory says nothing of it
  bool has_data = false;
  bool async_logs = false;
};

// What the directory says of itself. Writes nothing into it.
Result<Marks> ReadMarks(rocksdb::Env* env, const std::string& directory) {
  rocksdb::Options options;
  options.env = env;
  options.info_log = NewRocksLog(nullptr);
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly(options, directory, &raw);
  const std::unique_ptr<rocksdb::DB> db(raw);
  if (!opened.ok()) return FromOpen(opened, directory);
  std::string text;
  Marks marks;
  rocksdb::Status got = db->Get(rocksdb::ReadOptions(), AsSlice(kLogsKey), &text);
  marks.async_logs = got.ok() && text == "async";
  got = db->Get(rocksdb::ReadOptions(), AsSlice(kFormatKey), &text);
  if (got.IsNotFound()) {
    const std::unique_ptr<rocksdb::Iterator> iterator(db->NewIterator(rocksdb::ReadOptions()));
    iterator->SeekToFirst();
    marks.has_data = iterator->Valid();
    return marks;
  }
  if (!got.ok()) return FromRocks(got, "reading the format of " + directory);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), marks.format);
  if (parsed.ec != std::errc() || marks.format < 1) return Corruption("the format of " + directory + " cannot be read");
  return marks;
}

// What the guard against a full disk keeps from new keys is for what must still be written: half for cleanups, half for
// logs and flushes.
std::shared_ptr<rocksdb::FileSystem> FileSystemOf(const RocksDbStoreOptions& options, const Platform& platform) {
  rocksdb::Env* const env = platform.env != nullptr ? platform.env : rocksdb::Env::Default();
  return NewCompactionRoom(env->GetFileSystem(), static_cast<uint64_t>(options.free_space_bytes_min) / 2);
}

// Our families, all or (interrupted creation) some of them.
bool AreOurs(const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return std::find(kFamilyNames.begin(), kFamilyNames.end(), name) != kFamilyNames.end();
  });
}

}  // namespace

uint64_t TableBytesMax(Family family) {
  switch (family) {
    case Family::kRecords:
      return 64 << 20;  // so that a hundred million records are in some hundred files
    case Family::kBodies:
      return 1 << 20;  // of references of some 80 bytes: even so it stands for a great deal of blobs
    case Family::kDefault:
    case Family::kExpiry:
    case Family::kOpen:
    case Family::kCreated:
    case Family::kLabels:
    case Family::kReplays:
      break;
  }
  return 16 << 20;  // cleanups drop and rewrite whole files
}

Status FromRocks(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return OkStatus();
  std::string message = std::string(doing) + ": " + status.ToString();
  if (status.IsCorruption()) return Corruption(std::move(message));
  // Errors of flushes come back as parts of another's message.
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit ||
      message.find("No space left on device") != std::string::npos)
    return NoSpace(std::move(message));
  return Unavailable(std::move(message));
}

Database::Database(const RocksDbStoreOptions& options, const Platform& platform, Logger* logger)
    : log_room_(std::make_shared<LogRoom>(FileSystemOf(options, platform),
                                          options.durability == Durability::kSync ? platform.log_room_bytes : 0)),
      env_(rocksdb::NewCompositeEnv(log_room_)),
      logger_(logger),
      directory_(options.directory),
      read_only_(options.read_only),
      sync_(options.durability == Durability::kSync),
      cache_bytes_(options.cache_bytes),
      memtable_bytes_(options.memtable_bytes),
      cache_(rocksdb::NewLRUCache(static_cast<size_t>(options.cache_bytes + options.memtable_bytes))),
      write_buffers_(
          std::make_shared<rocksdb::WriteBufferManager>(static_cast<size_t>(options.memtable_bytes), cache_)),
      outcomes_(cache_) {}

Database::~Database() {
  Close();
}

void Database::Close() {
  if (!db_) return;
  // `async` promises the kernel only, but an orderly end can do better. Not with a log that could not be written:
  // RocksDB aborts the process when it is asked to sync that.
  if (!read_only_ && !sync_ && !write_failed_.load() && !errors_.kept.load()) (void)db_->SyncWAL();
  for (rocksdb::ColumnFamilyHandle*& handle : handles_) {
    if (handle != nullptr) (void)db_->DestroyColumnFamilyHandle(handle);
    handle = nullptr;
  }
  (void)db_->Close();
  db_.reset();
}

Result<std::unique_ptr<Database>> Database::Open(const RocksDbStoreOptions& options, const Platform& platform,
                                                 Logger* logger) {
  Result<DirectoryState> state = PrepareDirectory(options.directory, options.read_only);
  if (!state.ok()) return state.status();
  std::unique_ptr<Database> database(new Database(options, platform, logger));
  if (*state == DirectoryState::kDatabase) {
    if (Status status = database->CheckUnused(); !status.ok()) return status;
    if (Status status = database->CheckFormat(options.directory); !status.ok()) return status;
    // Without syncs the disk may have kept any part of the end, and RocksDB ends the replay there.
    if (Status status = database->CheckLogs(); !status.ok()) return status;
  } else if (Status status = database->SyncParentOf(options.directory); !status.ok()) {
    return status;
  }
  if (Status status = database->OpenAll(options.directory, options.read_only); !status.ok()) return status;
  return database;
}

// Without syncs the disk may have kept any part of the end, and RocksDB ends the replay there. A wrong bit does the
// same and cannot be told from that, but somebody should know.
Status Database::CheckLogs() {
  if (!async_logs_) {
    const std::vector<std::string> damaged = DamagedLogs(directory_);
    return damaged.empty() ? OkStatus() : DamagedIn(directory_, damaged, "a record is not what was written");
  }
  for (const std::string& name : LogsCutShort(directory_)) {
    if (logger_ == nullptr) break;
    logger_->Log(LogLevel::kWarn, LogEvent::kWarning, "the end of the log is lost: what was written last is gone",
                 {{"reason", "a power cut without syncs, or damage"}, {"file", std::string_view(name)}});
  }
  return OkStatus();
}

// RocksDB makes what it does in the directory last, but not the directory itself: without this a power cut soon after
// the first start could take the whole store.
Status Database::SyncParentOf(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::absolute(directory, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::unique_ptr<rocksdb::FSDirectory> parent;
  const rocksdb::IOStatus opened =
      env_->GetFileSystem()->NewDirectory(path.parent_path().string(), rocksdb::IOOptions(), &parent, nullptr);
  // Whoever made a directory for us in one that we may not read saw to it.
  if (!opened.ok()) return OkStatus();
  return FromRocks(parent->Fsync(rocksdb::IOOptions(), nullptr), "creating the data directory " + directory);
}

// Before anything is read: what another process is writing looks like damage now and then.
Status Database::CheckUnused() {
  if (read_only_) return OkStatus();
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status status = env_->LockFile(directory_ + "/LOCK", &lock);
  if (status.ok()) return FromOpen(env_->UnlockFile(lock), directory_);
  return IsLockError(status.ToString()) ? FromOpen(status, directory_) : OkStatus();
}

Status Database::CheckFormat(const std::string& directory) {
  const Status not_ours =
      InvalidArgument("the data directory " + directory + " holds a database that is not oncegate's");
  Result<Marks> marks = ReadMarks(env_.get(), directory);
  if (!marks.ok()) return marks.status();
  async_logs_ = marks->async_logs;
  if (marks->format > kFormatVersion)
    return InvalidArgument("the data directory " + directory + " has format " + std::to_string(marks->format) +
                           "; this program reads up to format " + std::to_string(kFormatVersion));
  if (marks->format > 0) return OkStatus();
  // No format: ours only if it was stopped while it was being created, and then it is empty.
  std::vector<std::string> names;
  rocksdb::DBOptions list_options;
  list_options.env = env_.get();
  list_options.info_log = NewRocksLog(nullptr);
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(list_options, directory, &names);
  if (!listed.ok()) return FromOpen(listed, directory);
  return marks->has_data || !AreOurs(names) || read_only_ ? not_ours : OkStatus();
}

Status Database::OpenAll(const std::string& directory, bool for_reading) {
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kFamilyCount; ++i)
    families.emplace_back(kFamilyNames[i], MakeFamilyOptions(static_cast<Family>(i)));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  rocksdb::DBOptions options = MakeDbOptions();
  log_gap_ = NewLogGapFilter(logger_);
  if (async_logs_) options.wal_filter = log_gap_.get();
  log_room_->set_recovering(!async_logs_);
  const rocksdb::Status opened = for_reading
                                     ? rocksdb::DB::OpenForReadOnly(options, directory, families, &handles, &raw)
                                     : rocksdb::DB::Open(options, directory, families, &handles, &raw);
  log_room_->set_recovering(false);
  if (!opened.ok()) return FromOpen(opened, directory);
  db_.reset(raw);
  std::copy(handles.begin(), handles.end(), handles_.begin());
  return for_reading ? OkStatus() : WriteMarks(directory);
}

Status Database::WriteMarks(const std::string& directory) {
  rocksdb::PinnableSlice format;
  Result<bool> found = Get(Family::kDefault, kFormatKey, &format);
  if (!found.ok()) return found.status();
  if (*found && async_logs_ == !sync_) return OkStatus();
  rocksdb::WriteBatch batch;
  if (!*found) (void)batch.Put(AsSlice(kFormatKey), std::to_string(kFormatVersionOfNew));
  // What the logs of before held has been written to tables by opening them.
  (void)batch.Put(AsSlice(kLogsKey), sync_ ? "sync" : "async");
  rocksdb::WriteOptions write;
  write.sync = true;
  Status status = FromRocks(db_->Write(write, &batch), "preparing the data directory " + directory);
  if (!status.ok()) return status;
  async_logs_ = !sync_;
  // Into a table: damage to the log must not decide how the log is read.
  rocksdb::FlushOptions flush;
  flush.wait = true;
  return FromRocks(db_->Flush(flush, Handle(Family::kDefault)), "preparing the data directory " + directory);
}

Status Database::Note(Status status, Family family, std::string_view key) {
  if (status.code() != StatusCode::kCorruption || status.message().find(".sst") != std::string::npos)
    return Note(std::move(status));
  rocksdb::ColumnFamilyMetaData metadata;
  db_->GetColumnFamilyMetaData(Handle(family), &metadata);
  std::string place;
  for (const rocksdb::LevelMetaData& level : metadata.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      if (key < file.smallestkey || key > file.largestkey) continue;
      const std::string name = std::filesystem::path(file.name).filename();
      place += (place.empty() ? " (its place: " : ", ") + name;
      if (file.oldest_blob_file_number == 0) continue;
      const std::string number = std::to_string(file.oldest_blob_file_number);
      place += " and " + std::string(6 - std::min<size_t>(number.size(), 6), '0') + number + ".blob or a later one";
    }
  }
  if (!place.empty()) status = Corruption(status.message() + place + ")");
  return Note(std::move(status));
}

Status Database::Note(Status status) {
  if (status.code() != StatusCode::kCorruption) return status;
  const std::lock_guard lock(damage_mu_);
  if (damage_.ok()) damage_ = status;
  return status;
}

Status Database::damage() {
  const std::lock_guard lock(damage_mu_);
  return damage_;
}

Result<bool> Database::Get(Family family, std::string_view key, rocksdb::PinnableSlice* value) {
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), Handle(family), AsSlice(key), value);
  if (status.IsNotFound()) return false;
  if (!status.ok()) return Note(FromRocks(status, "reading the store"), family, key);
  return true;
}

Result<int64_t> Database::SavedTimeMs() {
  rocksdb::PinnableSlice saved;
  const Result<bool> found = Get(Family::kDefault, kStoredTimeKey, &saved);
  if (!found.ok()) return found.status();
  return *found ? Reader(AsView(saved)).Time() : 0;
}

// As RocksDB's Write, but what stalls waits here rather than at the head of all writes: since 8.7 it waits there for a
// recovery from an error, which itself waits for the writes before it, for ever (RocksDB pull request 11879).
rocksdb::Status Database::WriteOrStall(rocksdb::WriteBatch* batch) {
  constexpr bool kStallsMayHang = ROCKSDB_MAJOR * 100 + ROCKSDB_MINOR >= 807;
  rocksdb::WriteOptions options;
  options.sync = sync_;
  options.no_slowdown = kStallsMayHang;
  rocksdb::Status status = db_->Write(options, batch);
  for (int64_t waited_ms = 0; kStallsMayHang && status.IsIncomplete() && waited_ms < kStallMsMax;
       waited_ms += kStallStepMs) {
    std::this_thread::sleep_for(std::chrono::milliseconds(kStallStepMs));
    status = db_->Write(options, batch);
  }
  return status;
}

Status Database::Write(rocksdb::WriteBatch* batch) {
  if (read_only_) return Unavailable("the store was opened for reading only");
  if (!reopen_status_.ok()) return reopen_status_;
  const rocksdb::Status status = WriteOrStall(batch);
  if (!status.ok()) write_failed_.store(true);
  write_failing_.store(!status.ok());
  return Note(FromRocks(status, "writing the store"));
}

void Database::CountFailedCompaction(const std::string& family) {
  for (size_t i = 0; i < kFamilyCount; ++i) {
    if (family == kFamilyNames[i]) ++failed_compactions_[i];
  }
}

Status Database::UpdateCompactionRest(int64_t now_ms) {
  if (!reopen_status_.ok()) return OkStatus();  // open for reading, it compacts nothing
  Status result;
  for (size_t i = 0; i < kFamilyCount; ++i) {
    FamilyRest& family = rests_[i];
    const bool rest = family.rest.Update(failed_compactions_[i].load(), now_ms);
    if (rest == family.told) continue;
    family.told.reset();
    const rocksdb::Status status =
        db_->SetOptions(handles_[i], {{"disable_auto_compactions", rest ? "true" : "false"}});
    if (!status.ok()) {
      result = FromRocks(status, rest ? "letting compactions rest" : "letting compactions go on");
      continue;
    }
    family.told = rest;
    if (logger_ == nullptr) continue;
    logger_->Log(LogLevel::kWarn, LogEvent::kWarning,
                 rest ? "compactions fail and rest for a while" : "compactions that failed are tried again",
                 {{"family", kFamilyNames[i]}});
  }
  return result;
}

Database::FilesKept Database::KeepFiles() {
  return FilesKept(*this);
}

void Database::RenewManifest() {
  const std::lock_guard lock(manifest_mu_);
  // Every change of an option is written there, also one that changes nothing; after an error RocksDB begins another
  // manifest for it.
  const bool renewed = db_->SetOptions(Handle(Family::kDefault), {{"report_bg_io_stats", "false"}}).ok();
  if (renewed == !manifest_in_doubt_.load()) return;
  if (renewed)
    EnableFileDeletions(*db_);
  else
    (void)db_->DisableFileDeletions();
  manifest_in_doubt_.store(!renewed);
}

void Database::RenewManifestIfInDoubt() {
  if (manifest_in_doubt_.load()) RenewManifest();
}

bool Database::DiskTakesWrites() {
  constexpr size_t kProbeBytes = 64 << 10;
  uint64_t free_bytes = 0;
  rocksdb::FileSystem& files = *env_->GetFileSystem();
  const rocksdb::IOOptions options;
  // Opening it writes what the logs hold to tables.
  if (files.GetFreeSpace(directory_, options, &free_bytes, nullptr).ok() && free_bytes < WalBytes() + kProbeBytes)
    return false;
  const std::string path = directory_ + "/probe.dbtmp";
  std::unique_ptr<rocksdb::FSWritableFile> file;
  bool works = files.NewWritableFile(path, rocksdb::FileOptions(), &file, nullptr).ok();
  works = works && file->Append(std::string(kProbeBytes, 'x'), options, nullptr).ok();
  works = works && file->Sync(options, nullptr).ok();
  works = works && file->Close(options, nullptr).ok();
  file.reset();
  (void)files.DeleteFile(path, options, nullptr);
  return works;
}

Status Database::Reopen() {
  Close();
  outcomes_.Clear();
  open_claims_.Clear();
  errors_.kept.store(false);
  manifest_in_doubt_.store(false);
  for (FamilyRest& family : rests_) family.told = false;
  reopen_status_ = OpenAll(directory_, /*for_reading=*/false);
  // That it opens does not say that its log can be written.
  if (reopen_status_.ok()) {
    rocksdb::WriteOptions write;
    write.sync = true;
    reopen_status_ = FromRocks(db_->Put(write, AsSlice(kLogsKey), sync_ ? "sync" : "async"), "writing the store");
  }
  write_failing_.store(!reopen_status_.ok());
  write_failed_.store(!reopen_status_.ok());
  if (reopen_status_.ok()) return OkStatus();
  write_failed_.store(true);
  Close();
  if (Status reading = OpenAll(directory_, /*for_reading=*/true); !reading.ok()) {
    Close();
    return reading;
  }
  return reopen_status_;
}

Database::Range Database::Scan(Family family, std::string lower, std::string upper, const rocksdb::Snapshot* snapshot) {
  return {*this, family, std::move(lower), std::move(upper), snapshot};
}

uint64_t Database::Property(const rocksdb::Slice& name) {
  uint64_t value = 0;
  return db_->GetAggregatedIntProperty(name, &value) ? value : 0;
}

uint64_t Database::WalBytes() {
  if (!db_) return 0;
  rocksdb::VectorLogPtr files;
  if (!db_->GetSortedWalFiles(files).ok()) return 0;
  uint64_t bytes = 0;
  for (const auto& file : files) bytes += file->SizeFileBytes();
  return bytes;
}

Database::Range::Range(Database& database, Family family, std::string lower, std::string upper,
                       const rocksdb::Snapshot* snapshot)
    : bounds_(std::make_unique<Bounds>()) {
  bounds_->lower = std::move(lower);
  bounds_->upper = std::move(upper);
  bounds_->lower_slice = bounds_->lower;
  bounds_->upper_slice = bounds_->upper;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.snapshot = snapshot;
  if (!bounds_->lower.empty()) options.iterate_lower_bound = &bounds_->lower_slice;
  if (!bounds_->upper.empty()) options.iterate_upper_bound = &bounds_->upper_slice;
  iterator_.reset(database.db().NewIterator(options, database.Handle(family)));
}

}  // namespace oncegate::store

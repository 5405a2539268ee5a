#include "store/backup.h"

#include <rocksdb/utilities/backup_engine.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "store/backup_directory.h"
#include "store/backup_writer.h"
#include "store/restored.h"
#include "store/rocks_log.h"
#include "store/store_impl.h"

namespace oncegate {
namespace store {
namespace {

// A backup must not take the disk from those who wait for a claim to be written.
constexpr uint64_t kBackupBytesPerSecondMax = 128 << 20;

Status FromEngine(const rocksdb::Status& status, const std::string& doing) {
  if (status.IsNotFound()) return NotFound(doing + ": there is no such backup");
  if (status.IsIncomplete()) return Unavailable(doing + ": it was interrupted");
  return FromRocks(status, doing);
}

// The bytes of the newest backup, and of those files in it that no earlier one has.
void FillSizes(const rocksdb::BackupEngine& engine, BackupReport* report) {
  std::vector<rocksdb::BackupInfo> infos;
  engine.GetBackupInfo(&infos, /*include_file_details=*/true);
  std::set<std::string> before;
  for (const rocksdb::BackupInfo& info : infos) {
    if (info.backup_id == report->id) {
      report->bytes = info.size;
      for (const auto& file : info.file_details) {
        if (!before.contains(file.relative_filename)) report->bytes_copied += file.size;
      }
    }
    for (const auto& file : info.file_details) before.insert(file.relative_filename);
  }
  report->kept = static_cast<uint32_t>(infos.size());
}

// Marks a database as restored; says of when the backup is.
Result<int64_t> MarkRestored(const std::string& directory, const Clock& clock, Logger& logger) {
  RocksDbStoreOptions options;
  options.directory = directory;
  const Result<std::unique_ptr<Database>> database = Database::Open(options, {}, &logger);
  if (!database.ok()) return database.status();
  const Result<int64_t> taken_at_ms = (*database)->SavedTimeMs();
  if (!taken_at_ms.ok()) return taken_at_ms.status();
  rocksdb::WriteBatch batch;
  (void)batch.Put(AsSlice(kRestoredKey),
                  EncodeRestoredMark({.taken_at_ms = *taken_at_ms, .restored_at_ms = clock.WallMs()}));
  if (Status status = (*database)->Write(&batch); !status.ok()) return status;
  return *taken_at_ms;
}

}  // namespace

Result<BackupReport> BackupWriter::Write(Database& database, const std::string& store_directory,
                                         const std::string& directory, uint32_t keep) {
  const std::string doing = "backing up to " + directory;
  const std::unique_lock one(one_at_a_time_, std::try_to_lock);
  if (!one.owns_lock()) return Conflict("another backup is being made");
  const Result<BackupDirectory> held = BackupDirectory::OpenForWriting(directory, store_directory);
  if (!held.ok()) return held.status();
  const std::shared_ptr<rocksdb::Logger> log = NewRocksLog(nullptr);
  rocksdb::BackupEngineOptions options(directory);
  options.info_log = log.get();
  options.backup_rate_limit = kBackupBytesPerSecondMax;
  rocksdb::BackupEngine* raw = nullptr;
  rocksdb::Status status = rocksdb::BackupEngine::Open(database.db().GetEnv(), options, &raw);
  if (!status.ok()) return FromEngine(status, doing);
  const std::unique_ptr<rocksdb::BackupEngine> engine(raw);
  if (!Begin(engine.get())) return Unavailable(doing + ": it was interrupted");
  BackupReport report;
  status = engine->CreateNewBackup(rocksdb::CreateBackupOptions(), &database.db(), &report.id);
  if (status.ok()) FillSizes(*engine, &report);
  if (status.ok() && keep > 0) {
    status = engine->PurgeOldBackups(keep);
    report.kept = std::min(report.kept, keep);
  }
  End();
  if (!status.ok()) return FromEngine(status, doing);
  return report;
}

bool BackupWriter::Begin(rocksdb::BackupEngine* engine) {
  const std::lock_guard lock(mu_);
  if (interrupted_) return false;
  engine_ = engine;
  return true;
}

void BackupWriter::End() {
  const std::lock_guard lock(mu_);
  engine_ = nullptr;
}

void BackupWriter::StopCurrent() {
  const std::lock_guard lock(mu_);
  if (engine_ != nullptr) engine_->StopBackup();
}

void BackupWriter::Interrupt() {
  {
    const std::lock_guard lock(mu_);
    interrupted_ = true;
  }
  StopCurrent();
}

Result<BackupReport> RocksDbStore::Backup(const std::string& directory, uint32_t keep) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  const int64_t begun_ms = clock_.SteadyMs();
  const int64_t taken_at_ms = NowMs();
  if (Status status = SaveTime(); !status.ok()) return status;
  Result<BackupReport> report = backups_.Write(*database_, options_.directory, directory, keep);
  if (!report.ok()) return report.status();
  report->taken_at_ms = taken_at_ms;
  report->duration_ms = clock_.SteadyMs() - begun_ms;
  logger_.Log(LogLevel::kInfo, LogEvent::kBackup, "backup completed",
              {{"directory", directory},
               {"id", static_cast<int64_t>(report->id)},
               {"bytes", static_cast<int64_t>(report->bytes)},
               {"copied", static_cast<int64_t>(report->bytes_copied)},
               {"ms", report->duration_ms}});
  return report;
}

}  // namespace store

Result<BackupReport> BackUpDirectory(const RocksDbStoreOptions& options, const std::string& backups, uint32_t keep,
                                     const Clock& clock, Logger& logger) {
  // A database that is only read cannot keep its files from being deleted meanwhile, so that it is opened for writing:
  // that makes sure, too, that nobody else has it. Nothing is settled that a server would settle at its start.
  // It has to be there: an empty one, made now, would take the place of the good backups.
  const Result<store::DirectoryState> state = store::PrepareDirectory(options.directory, /*read_only=*/true);
  if (!state.ok()) return state.status();
  const Result<std::unique_ptr<store::Database>> database = store::Database::Open(options, {}, &logger);
  if (!database.ok()) return database.status();
  const int64_t begun_ms = clock.SteadyMs();
  const Result<int64_t> taken_at_ms = (*database)->SavedTimeMs();
  if (!taken_at_ms.ok()) return taken_at_ms.status();
  Result<BackupReport> report = store::BackupWriter().Write(**database, options.directory, backups, keep);
  if (!report.ok()) return report.status();
  report->taken_at_ms = *taken_at_ms;
  report->duration_ms = clock.SteadyMs() - begun_ms;
  return report;
}

Result<RestoreReport> RestoreBackup(const RestoreRequest& request, const Clock& clock, Logger& logger) {
  const std::string doing = "restoring from " + request.backups;
  if (Status status = store::BackupDirectory::Check(request.backups); !status.ok()) return status;
  const std::shared_ptr<rocksdb::Logger> log = store::NewRocksLog(nullptr);
  rocksdb::BackupEngineOptions options(request.backups);
  options.info_log = log.get();
  rocksdb::BackupEngineReadOnly* raw = nullptr;
  rocksdb::Status status = rocksdb::BackupEngineReadOnly::Open(rocksdb::Env::Default(), options, &raw);
  if (!status.ok()) return store::FromEngine(status, doing);
  const std::unique_ptr<rocksdb::BackupEngineReadOnly> engine(raw);
  rocksdb::BackupInfo info;
  status = request.id == 0 ? engine->GetLatestBackupInfo(&info) : engine->GetBackupInfo(request.id, &info);
  if (!status.ok()) return store::FromEngine(status, doing);
  Result<store::RestoreTarget> target = store::RestoreTarget::Prepare(request.directory);
  if (!target.ok()) return target.status();
  status = engine->RestoreDBFromBackup(info.backup_id, target->staging(), target->staging());
  if (!status.ok()) return store::FromEngine(status, doing);
  const Result<int64_t> taken_at_ms = store::MarkRestored(target->staging(), clock, logger);
  if (!taken_at_ms.ok()) return taken_at_ms.status();
  if (Status finished = target->Finish(); !finished.ok()) return finished;
  return RestoreReport{.id = info.backup_id, .taken_at_ms = *taken_at_ms, .bytes = info.size};
}

}  // namespace oncegate

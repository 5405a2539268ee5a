#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "base/status.h"
#include "store/store.h"

namespace rocksdb {
class BackupEngine;
}

// For the .cc files of this folder only.
namespace oncegate::store {

class Database;

// Writes backups. Thread-safe.
class BackupWriter {
 public:
  // As Store::Backup, less the times of the report. `store_directory`: where the database is.
  Result<BackupReport> Write(Database& database, const std::string& store_directory, const std::string& directory,
                             uint32_t keep);
  // The one under way stops.
  void StopCurrent();
  // The same, and there are no more.
  void Interrupt();

 private:
  bool Begin(rocksdb::BackupEngine* engine);
  void End();

  std::mutex one_at_a_time_;  // held during a backup
  std::mutex mu_;
  rocksdb::BackupEngine* engine_ = nullptr;  // guarded by mu_
  bool interrupted_ = false;                 // guarded by mu_
};

}  // namespace oncegate::store

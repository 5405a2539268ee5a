#pragma once

#include <string>

#include "base/status.h"

// For the .cc files of this folder only.
namespace oncegate::store {

// A directory for backups, held against other processes while this lives.
class BackupDirectory {
 public:
  // Creates it (mode 0700) if it is absent. InvalidArgument if it holds something else, or lies in the store's own
  // directory, which may be empty; Conflict if a backup is being written to it.
  static Result<BackupDirectory> OpenForWriting(const std::string& directory, const std::string& store_directory);
  // NotFound if it is none.
  static Status Check(const std::string& directory);

  ~BackupDirectory();
  BackupDirectory(BackupDirectory&& other) noexcept;
  BackupDirectory& operator=(BackupDirectory&&) = delete;

 private:
  explicit BackupDirectory(int lock) : lock_(lock) {}
  int lock_;  // file descriptor
};

// A directory into which a backup is restored. It becomes a store only when everything is there: until then all lies in
// a directory of its own below it.
class RestoreTarget {
 public:
  // Creates it (mode 0700) if it is absent. InvalidArgument unless it is empty.
  static Result<RestoreTarget> Prepare(const std::string& directory);

  [[nodiscard]] const std::string& staging() const { return staging_; }
  // Makes it a store. Durable on return.
  Status Finish();

 private:
  explicit RestoreTarget(std::string directory);
  std::string directory_;
  std::string staging_;
};

}  // namespace oncegate::store

#include "store/directory.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace oncegate::store {
namespace {

namespace fs = std::filesystem;

Status FromErrno(int error, const std::string& message) {
  const std::string text = message + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT) return NoSpace(text);
  return Unavailable(text);
}

Status CreateDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) == 0) return OkStatus();
  const int error = errno;
  if (error == ENOENT)
    return InvalidArgument("cannot create the data directory " + directory + ": the directory above it does not exist");
  if (error == ENOTDIR)
    return InvalidArgument("cannot create the data directory " + directory + ": what is above it is not a directory");
  return FromErrno(error, "cannot create the data directory " + directory);
}

// Whether RocksDB may have left this file when it was stopped before the database was complete, that is before CURRENT
// was there. A log with something in it is no such file: it may hold claims.
bool IsLeftByCreation(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  constexpr std::array<std::string_view, 4> kNames = {"LOCK", "LOG", "IDENTITY", "lost+found"};
  if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) return true;
  std::error_code ignored;
  const bool empty = entry.is_regular_file(ignored) && entry.file_size(ignored) == 0;
  return name.starts_with("LOG.old.") || name == "MANIFEST-000001" || name.ends_with(".dbtmp") ||
         (empty && name.ends_with(".log"));
}

}  // namespace

Result<DirectoryState> PrepareDirectory(const std::string& directory, bool read_only) {
  struct stat info {};
  if (stat(directory.c_str(), &info) != 0) {
    if (errno != ENOENT) return FromErrno(errno, "cannot use the data directory " + directory);
    if (read_only) return InvalidArgument("the data directory " + directory + " does not exist");
    if (Status status = CreateDirectory(directory); !status.ok()) return status;
    return DirectoryState::kEmpty;
  }
  if (!S_ISDIR(info.st_mode)) return InvalidArgument("the data directory " + directory + " is not a directory");
  std::error_code error;
  bool current = false;
  bool foreign = false;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    current = current || entry->path().filename() == "CURRENT";
    foreign = foreign || !IsLeftByCreation(*entry);
  }
  if (error) return FromErrno(error.value(), "cannot read the data directory " + directory);
  if (current) return DirectoryState::kDatabase;
  if (fs::exists(fs::path(directory) / kUnfinishedRestoreName, error))
    return InvalidArgument("the data directory " + directory +
                           " holds a restore that was not finished; empty it and restore again");
  if (foreign || read_only)
    return InvalidArgument("the data directory " + directory + " is not a store of oncegate" +
                           (read_only ? "" : " and not empty; give an empty or new directory"));
  return DirectoryState::kEmpty;
}

Result<int64_t> FreeSpaceBytes(const std::string& directory) {
  struct statvfs info {};
  if (statvfs(directory.c_str(), &info) != 0) return FromErrno(errno, "cannot examine the file system of " + directory);
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

}  // namespace oncegate::store

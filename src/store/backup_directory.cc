#include "store/backup_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "store/directory.h"

namespace oncegate::store {
namespace {

namespace fs = std::filesystem;

// Says that a directory is one for backups, and is locked while one is written.
constexpr const char* kMarkName = "oncegate-backups";

// Whether it is the path that is wrong, so that whoever named it can do better.
bool IsOfThePath(int error) {
  constexpr std::array kErrors{ENOTDIR, ENOENT, EISDIR, EACCES, EPERM, EROFS, ENAMETOOLONG, ELOOP};
  return std::find(kErrors.begin(), kErrors.end(), error) != kErrors.end();
}

Status FromPathErrno(int error, const std::string& message) {
  const std::string text = message + ": " + std::strerror(error);
  if (IsOfThePath(error)) return InvalidArgument(text);
  return error == ENOSPC || error == EDQUOT ? NoSpace(text) : Unavailable(text);
}

Status SyncDirectory(const std::string& directory);

// Durable on return.
Status MakeDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) == 0) {
    std::error_code ignored;
    fs::path path = fs::absolute(directory, ignored).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    return SyncDirectory(path.parent_path());
  }
  if (errno == EEXIST) return OkStatus();
  const int error = errno;
  if (error == ENOENT)
    return InvalidArgument("cannot create the directory " + directory + ": the directory above it does not exist");
  return FromPathErrno(error, "cannot create the directory " + directory);
}

Result<std::vector<std::string>> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != "lost+found") names.push_back(name);
  }
  if (error) return FromPathErrno(error.value(), "cannot read the directory " + directory);
  return names;
}

Status SyncDirectory(const std::string& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FromPathErrno(errno, "cannot open the directory " + directory);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? OkStatus() : FromPathErrno(error, "cannot sync the directory " + directory);
}

bool LiesWithin(const std::string& inner, const std::string& outer) {
  std::error_code ignored;
  const fs::path in = fs::weakly_canonical(fs::absolute(inner, ignored), ignored);
  const fs::path out = fs::weakly_canonical(fs::absolute(outer, ignored), ignored);
  const auto [rest, unused] = std::mismatch(out.begin(), out.end(), in.begin(), in.end());
  return rest == out.end() || rest->empty();
}

}  // namespace

Result<BackupDirectory> BackupDirectory::OpenForWriting(const std::string& directory,
                                                        const std::string& store_directory) {
  if (LiesWithin(directory, store_directory))
    return InvalidArgument("the backup directory " + directory + " lies in the store itself");
  if (Status status = MakeDirectory(directory); !status.ok()) return status;
  const Result<std::vector<std::string>> names = NamesIn(directory);
  if (!names.ok()) return names.status();
  if (!names->empty() && !Check(directory).ok())
    return InvalidArgument("the directory " + directory + " is not empty and not one for backups of oncegate");
  const std::string mark = directory + "/" + kMarkName;
  const int lock = open(mark.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return FromPathErrno(errno, "cannot write to the backup directory " + directory);
  BackupDirectory opened(lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) return Conflict("a backup is being written to " + directory + " already");
  return opened;
}

Status BackupDirectory::Check(const std::string& directory) {
  struct stat info {};
  if (stat((directory + "/" + kMarkName).c_str(), &info) == 0) return OkStatus();
  return NotFound("the directory " + directory + " holds no backup of oncegate");
}

BackupDirectory::~BackupDirectory() {
  if (lock_ >= 0) close(lock_);
}

BackupDirectory::BackupDirectory(BackupDirectory&& other) noexcept : lock_(std::exchange(other.lock_, -1)) {}

RestoreTarget::RestoreTarget(std::string directory)
    : directory_(std::move(directory)), staging_(directory_ + "/" + kUnfinishedRestoreName) {}

Result<RestoreTarget> RestoreTarget::Prepare(const std::string& directory) {
  if (Status status = MakeDirectory(directory); !status.ok()) return status;
  const Result<std::vector<std::string>> names = NamesIn(directory);
  if (!names.ok()) return names.status();
  if (!names->empty())
    return InvalidArgument("the directory " + directory + " is not empty; a backup is only restored into an empty one");
  RestoreTarget target(directory);
  if (Status status = MakeDirectory(target.staging_); !status.ok()) return status;
  return target;
}

// CURRENT comes last: without it a directory is no store.
Status RestoreTarget::Finish() {
  Result<std::vector<std::string>> names = NamesIn(staging_);
  if (!names.ok()) return names.status();
  std::erase(*names, "CURRENT");
  std::erase(*names, "LOCK");
  std::error_code error;
  for (const std::string& name : *names) {
    fs::rename(staging_ + "/" + name, directory_ + "/" + name, error);
    if (error) return FromPathErrno(error.value(), "cannot move " + name + " to " + directory_);
  }
  if (Status status = SyncDirectory(directory_); !status.ok()) return status;
  fs::rename(staging_ + "/CURRENT", directory_ + "/CURRENT", error);
  if (error) return FromPathErrno(error.value(), "cannot move CURRENT to " + directory_);
  fs::remove_all(staging_, error);
  return SyncDirectory(directory_);
}

}  // namespace oncegate::store

#include "faulty_disk.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>
#include <utility>

namespace oncegate {

namespace fs = std::filesystem;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

// RocksDB names the same file with one slash and with two.
std::string Normal(const std::string& path) {
  fs::path normal = fs::path(path).lexically_normal();
  if (!normal.has_filename()) normal = normal.parent_path();
  return normal.string();
}

std::string ParentOf(const std::string& path) {
  return fs::path(path).parent_path().string();
}

// RocksDB compacts in threads of this name, and flushes in others.
bool IsThread(std::string_view wanted) {
  std::array<char, 16> name{};
  (void)pthread_getname_np(pthread_self(), name.data(), name.size());
  const bool unwanted = wanted.starts_with('!');
  if (unwanted) wanted.remove_prefix(1);
  return std::string_view(name.data()).starts_with(wanted) != unwanted;
}

// As RocksDB's own file system says it, with the file's name.
IOStatus ErrorAt(const std::string& path, const IOStatus& error) {
  IOStatus status =
      error.IsNoSpace() ? IOStatus::NoSpace(path, error.getState()) : IOStatus::IOError(path, error.getState());
  status.SetRetryable(error.GetRetryable());
  return status;
}

}  // namespace

class FaultyDisk::File final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  File(FaultyDisk& disk, std::string path, std::shared_ptr<Contents> contents,
       std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        disk_(disk),
        path_(std::move(path)),
        contents_(std::move(contents)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    IOStatus broken = disk_.Check(Operation::kAppend, path_);
    const size_t size = broken.ok() ? data.size() : data.size() / 2;
    IOStatus status = FSWritableFileOwnerWrapper::Append(Slice(data.data(), size), options, debug);
    if (status.ok()) {
      const std::lock_guard lock(disk_.mu_);
      contents_->written += size;
    }
    return broken.ok() ? status : broken;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& /*verification*/,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = FSWritableFileOwnerWrapper::Truncate(size, options, debug);
    const std::lock_guard lock(disk_.mu_);
    if (status.ok()) contents_->written = contents_->room = size;
    return status;
  }
  IOStatus Sync(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return disk_.SyncFile(path_, contents_.get());
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }
  // Room that is kept in advance would only take time.
  void PrepareWrite(size_t /*offset*/, size_t /*size*/, const IOOptions& /*options*/,
                    IODebugContext* /*debug*/) override {}
  // Starts writing but promises nothing.
  IOStatus RangeSync(uint64_t /*offset*/, uint64_t /*size*/, const IOOptions& /*options*/,
                     IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }

 private:
  FaultyDisk& disk_;
  const std::string path_;
  const std::shared_ptr<Contents> contents_;  // shared with the directory entries
};

class FaultyDisk::Room final : public rocksdb::FSRandomRWFileOwnerWrapper {
 public:
  Room(FaultyDisk& disk, std::string path, std::shared_ptr<Contents> contents,
       std::unique_ptr<rocksdb::FSRandomRWFile> target)
      : FSRandomRWFileOwnerWrapper(std::move(target)),
        disk_(disk),
        path_(std::move(path)),
        contents_(std::move(contents)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    IOStatus broken = disk_.Check(Operation::kAppend, path_);
    const size_t size = broken.ok() ? data.size() : data.size() / 2;
    IOStatus status = FSRandomRWFileOwnerWrapper::Write(offset, Slice(data.data(), size), options, debug);
    if (status.ok()) {
      const std::lock_guard lock(disk_.mu_);
      contents_->room = std::max(contents_->room, offset + size);
    }
    return broken.ok() ? status : broken;
  }

 private:
  FaultyDisk& disk_;
  const std::string path_;
  const std::shared_ptr<Contents> contents_;
};

class FaultyDisk::Directory final : public rocksdb::FSDirectory {
 public:
  Directory(FaultyDisk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return disk_.SyncDirectory(path_);
  }
  IOStatus Close(const IOOptions& /*options*/, IODebugContext* /*debug*/) override { return IOStatus::OK(); }

 private:
  FaultyDisk& disk_;
  const std::string path_;
};

FaultyDisk::Contents::~Contents() {
  std::error_code ignored;
  fs::remove(path, ignored);
}

FaultyDisk::FaultyDisk(std::string scratch)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), scratch_(std::move(scratch)) {
  fs::create_directories(scratch_);
  // The disk outlives its env, so that nothing is shared in earnest.
  env_ = rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(std::shared_ptr<void>(), this));
}

bool FaultyDisk::Image(const std::string& directory, const std::string& image, Keep keep, uint64_t seed) {
  const std::lock_guard lock(mu_);
  const std::string whole = Normal(directory);
  if (!directories_[whole]) return false;
  std::mt19937_64 random(seed);
  Entries left = synced_;
  const size_t changes = keep == Keep::kSynced ? 0 : random() % (unsynced_.size() + 1);
  for (size_t i = 0; i < changes; ++i) Apply(unsynced_[i], &left);
  fs::create_directory(image);
  for (const auto& [path, contents] : left) {
    if (ParentOf(path) != whole) continue;
    CopyWhatIsLeft(*contents, fs::path(image) / fs::path(path).filename(), keep, random);
  }
  return true;
}

void FaultyDisk::CopyWhatIsLeft(const Contents& contents, const std::string& copy, Keep keep, std::mt19937_64& random) {
  fs::copy_file(contents.path, copy);
  const uint64_t durable = std::max(contents.synced, contents.room_synced);
  uint64_t size = durable;
  if (keep == Keep::kSomeUnsynced)
    size += random() % (std::max({contents.written, contents.room, durable}) - durable + 1);
  fs::resize_file(copy, size);
  // What was written over zeros arrives sector by sector, in any order.
  constexpr uint64_t kSectorBytes = 512;
  const uint64_t end = std::min(contents.written, contents.room_synced);
  std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
  for (uint64_t from = contents.synced; from < end; from = (from / kSectorBytes + 1) * kSectorBytes) {
    if (keep == Keep::kSomeUnsynced && random() % 2 == 0) continue;
    file.seekp(static_cast<std::streamoff>(from));
    file << std::string(std::min(end, (from / kSectorBytes + 1) * kSectorBytes) - from, '\0');
  }
}

void FaultyDisk::Adopt(const std::string& directory) {
  const std::lock_guard lock(mu_);
  directories_[Normal(directory)] = true;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string path = Normal(entry.path().string());
    const auto contents = NewContents(path);
    contents->written = contents->synced = entry.file_size();
    now_[path] = synced_[path] = contents;
  }
}

IOStatus FaultyDisk::InputOutputError() {
  return IOStatus::IOError("the disk", "Input/output error");
}

IOStatus FaultyDisk::NoSpaceLeft() {
  IOStatus status = IOStatus::NoSpace("the disk", "No space left on device");
  status.SetRetryable(true);  // as RocksDB's own file system has it
  return status;
}

void FaultyDisk::Break(Operation operation, std::string name, IOStatus error) {
  const std::lock_guard lock(mu_);
  broken_.push_back({operation, std::move(name), std::move(error)});
}

void FaultyDisk::BreakCompactions(Operation operation, std::string name, IOStatus error) {
  const std::lock_guard lock(mu_);
  broken_.push_back({operation, std::move(name), std::move(error), "rocksdb:low"});
}

void FaultyDisk::BreakCallers(Operation operation, std::string name, IOStatus error, int times) {
  const std::lock_guard lock(mu_);
  broken_.push_back({operation, std::move(name), std::move(error), "!rocksdb:", times});
}

void FaultyDisk::FillUp() {
  Break(Operation::kAppend, "", NoSpaceLeft());
  Break(Operation::kCreate, "", NoSpaceLeft());
  const std::lock_guard lock(mu_);
  full_ = true;
}

void FaultyDisk::Heal() {
  const std::lock_guard lock(mu_);
  broken_.clear();
  full_ = false;
}

IOStatus FaultyDisk::Check(Operation operation, const std::string& path) {
  const std::lock_guard lock(mu_);
  for (Fault& fault : broken_) {
    if (fault.operation != operation || fs::path(path).filename().string().find(fault.name) == std::string::npos)
      continue;
    if (fault.times == 0 || !IsThread(fault.thread)) continue;
    --fault.times;
    ++faults_;
    return ErrorAt(path, fault.error);
  }
  return IOStatus::OK();
}

void FaultyDisk::BlockSyncs(std::string name) {
  const std::lock_guard lock(block_mu_);
  blocking_ = true;
  blocked_name_ = std::move(name);
}

void FaultyDisk::Unblock() {
  const std::lock_guard lock(block_mu_);
  blocking_ = false;
  block_changed_.notify_all();
}

void FaultyDisk::WaitUntilBlocked(int syncs) {
  std::unique_lock lock(block_mu_);
  block_changed_.wait(lock, [&] { return blocked_ >= syncs; });
}

void FaultyDisk::WaitIfBlocked(const std::string& path) {
  std::unique_lock lock(block_mu_);
  if (!blocking_ || path.find(blocked_name_) == std::string::npos) return;
  ++blocked_;
  block_changed_.notify_all();
  block_changed_.wait(lock, [this] { return !blocking_; });
  --blocked_;
}

IOStatus FaultyDisk::SyncFile(const std::string& path, Contents* contents) {
  uint64_t written = 0;
  uint64_t room = 0;
  {
    const std::lock_guard lock(mu_);
    written = contents->written;  // what is written while the sync runs is not part of it
    room = contents->room;
  }
  WaitIfBlocked(path);
  if (on_sync_) on_sync_();
  IOStatus status = Check(Operation::kSync, path);
  {
    const std::lock_guard lock(mu_);
    if (!status.ok()) contents->sync_failed = true;
    if (!sync_lies_ && !contents->sync_failed) {
      contents->synced = std::max(contents->synced, written);
      contents->room_synced = std::max(contents->room_synced, room);
    }
  }
  return status;
}

IOStatus FaultyDisk::SyncDirectory(const std::string& path) {
  if (on_sync_) on_sync_();
  IOStatus status = Check(Operation::kSyncDirectory, path);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  std::erase_if(unsynced_, [&](const Change& change) {
    if (ParentOf(change.path) != path) return false;
    Apply(change, &synced_);
    return true;
  });
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.is_directory()) directories_[Normal(entry.path().string())] = true;
  }
  return status;
}

std::shared_ptr<FaultyDisk::Contents> FaultyDisk::NewContents(const std::string& path) {
  auto contents = std::make_shared<Contents>();
  contents->path = scratch_ + "/" + std::to_string(++last_number_);
  fs::create_hard_link(path, contents->path);
  return contents;
}

void FaultyDisk::Enter(const std::string& path, std::shared_ptr<Contents> contents) {
  unsynced_.push_back({path, std::move(contents)});
  Apply(unsynced_.back(), &now_);
}

void FaultyDisk::Apply(const Change& change, Entries* entries) {
  if (change.contents)
    (*entries)[change.path] = change.contents;
  else
    entries->erase(change.path);
}

IOStatus FaultyDisk::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                     std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) {
  const std::string name = Normal(path);
  if (IOStatus broken = Check(Operation::kCreate, name); !broken.ok()) return broken;
  std::error_code ignored;
  fs::remove(name, ignored);  // a new file rather than the old one emptied: its contents are kept until they are synced
  std::unique_ptr<rocksdb::FSWritableFile> target;
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, &target, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  const auto contents = NewContents(name);
  Enter(name, contents);
  *file = std::make_unique<File>(*this, name, contents, std::move(target));
  return status;
}

IOStatus FaultyDisk::NewRandomRWFile(const std::string& path, const rocksdb::FileOptions& options,
                                     std::unique_ptr<rocksdb::FSRandomRWFile>* file, IODebugContext* debug) {
  const std::string name = Normal(path);
  std::unique_ptr<rocksdb::FSRandomRWFile> target;
  IOStatus status = FileSystemWrapper::NewRandomRWFile(path, options, &target, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  *file = std::make_unique<Room>(*this, name, now_.at(name), std::move(target));
  return status;
}

IOStatus FaultyDisk::NewDirectory(const std::string& path, const IOOptions& /*options*/,
                                  std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext* /*debug*/) {
  *directory = std::make_unique<Directory>(*this, Normal(path));
  return IOStatus::OK();
}

IOStatus FaultyDisk::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  const auto place = now_.find(Normal(from));
  if (place == now_.end()) return status;  // not made through this disk
  const auto contents = place->second;
  // In this order: a journal keeps both or neither, but half of it must not lose the file.
  Enter(Normal(to), contents);
  Enter(Normal(from), nullptr);
  return status;
}

IOStatus FaultyDisk::LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                              IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::LinkFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  const auto place = now_.find(Normal(from));
  if (place != now_.end()) Enter(Normal(to), place->second);
  return status;
}

IOStatus FaultyDisk::DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::DeleteFile(path, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mu_);
  Enter(Normal(path), nullptr);
  return status;
}

IOStatus FaultyDisk::GetFreeSpace(const std::string& /*path*/, const IOOptions& /*options*/, uint64_t* bytes,
                                  IODebugContext* /*debug*/) {
  const std::lock_guard lock(mu_);
  *bytes = full_ ? 0 : free_bytes_.load();
  return IOStatus::OK();
}

}  // namespace oncegate

#include "store/log_room.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "store/log_end.h"
#include "store/log_format.h"

namespace oncegate::store {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

bool IsLog(const std::string& path) {
  return path.ends_with(".log");
}

// RocksDB names the same file with one slash and with two.
std::string Normal(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

// The beginning of a file.
class Beginning final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  Beginning(std::unique_ptr<rocksdb::FSSequentialFile> file, uint64_t bytes)
      : FSSequentialFileOwnerWrapper(std::move(file)), left_(bytes) {}

  IOStatus Read(size_t size, const IOOptions& options, Slice* result, char* scratch, IODebugContext* debug) override {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(size, left_));
    IOStatus status = FSSequentialFileOwnerWrapper::Read(wanted, options, result, scratch, debug);
    if (status.ok()) left_ -= result->size();
    return status;
  }
  IOStatus Skip(uint64_t size) override {
    const uint64_t skipped = std::min(size, left_);
    left_ -= skipped;
    return FSSequentialFileOwnerWrapper::Skip(skipped);
  }

 private:
  uint64_t left_;
};

// Reads the whole of it.
IOStatus Judge(rocksdb::FSSequentialFile& file, LogJudge* judge) {
  std::string buffer(kLogBlockBytes, '\0');
  std::string block;
  for (;;) {
    Slice read;
    IOStatus status = file.Read(kLogBlockBytes - block.size(), IOOptions(), &read, buffer.data(), nullptr);
    if (!status.ok()) return status;
    block.append(read.data(), read.size());
    const bool at_end = read.empty();
    if (!at_end && block.size() < kLogBlockBytes) continue;
    judge->Add(block);
    if (at_end) return status;
    block.clear();
  }
}

}  // namespace

// The log as RocksDB appends to it, and a second way into the file for the room.
class LogRoom::Log final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  Log(LogRoom& owner, std::string path, std::shared_ptr<std::atomic<uint64_t>> written,
      std::unique_ptr<rocksdb::FSWritableFile> log, std::unique_ptr<rocksdb::FSRandomRWFile> room)
      : FSWritableFileOwnerWrapper(std::move(log)),
        owner_(owner),
        path_(std::move(path)),
        room_(std::move(room)),
        written_(std::move(written)) {}
  ~Log() override { Forget(); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    MakeRoom(data.size(), options, debug);
    return Count(data.size(), FSWritableFileOwnerWrapper::Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* debug) override {
    MakeRoom(data.size(), options, debug);
    return Count(data.size(), FSWritableFileOwnerWrapper::Append(data, options, verification, debug));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    // What is set aside and was not needed.
    if (room_end_ > *written_) (void)Truncate(*written_, options, debug);
    room_end_ = 0;
    Forget();
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }

 private:
  // Room is only a matter of speed: where none can be had, the log grows as it would without.
  void MakeRoom(size_t bytes, const IOOptions& options, IODebugContext* debug) {
    if (room_ == nullptr || *written_ + bytes <= room_end_) return;
    const uint64_t begin = std::max<uint64_t>(*written_, room_end_);
    if (room_->Write(begin, owner_.room_, options, debug).ok())
      room_end_ = begin + owner_.room_.size();
    else
      room_.reset();
  }
  IOStatus Count(size_t bytes, IOStatus status) {
    if (status.ok()) *written_ += bytes;
    return status;
  }
  void Forget() {
    const std::lock_guard lock(owner_.mutex_);
    const auto place = owner_.open_.find(path_);
    if (place != owner_.open_.end() && place->second == written_) owner_.open_.erase(place);
  }

  LogRoom& owner_;
  const std::string path_;
  std::unique_ptr<rocksdb::FSRandomRWFile> room_;  // null: no room could be had
  uint64_t room_end_ = 0;
  const std::shared_ptr<std::atomic<uint64_t>> written_;  // changed by whoever appends
};

LogRoom::LogRoom(const std::shared_ptr<rocksdb::FileSystem>& base, size_t room_bytes)
    : FileSystemWrapper(base), room_(room_bytes, '\0') {}

LogRoom::~LogRoom() = default;

IOStatus LogRoom::NewWritableFile(const std::string& path, const FileOptions& options,
                                  std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSWritableFile> log;
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, &log, debug);
  std::unique_ptr<rocksdb::FSRandomRWFile> room;
  const bool has_room = status.ok() && IsLog(path) && !room_.empty() &&
                        FileSystemWrapper::NewRandomRWFile(path, options, &room, debug).ok();
  if (!has_room) {
    *file = std::move(log);
    return status;
  }
  auto written = std::make_shared<std::atomic<uint64_t>>(0);
  const std::string name = Normal(path);
  {
    const std::lock_guard lock(mutex_);
    open_[name] = written;
  }
  *file = std::make_unique<Log>(*this, name, std::move(written), std::move(log), std::move(room));
  return status;
}

IOStatus LogRoom::NewSequentialFile(const std::string& path, const FileOptions& options,
                                    std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::NewSequentialFile(path, options, file, debug);
  if (!status.ok() || !IsLog(path) || !recovering_) return status;
  LogJudge judge;
  if (status = Judge(**file, &judge); !status.ok()) return status;
  status = FileSystemWrapper::NewSequentialFile(path, options, file, debug);
  if (status.ok() && judge.state() != LogState::kDamaged)
    *file = std::make_unique<Beginning>(std::move(*file), judge.end());
  return status;
}

IOStatus LogRoom::GetFileSize(const std::string& path, const IOOptions& options, uint64_t* bytes,
                              IODebugContext* debug) {
  if (IsLog(path)) {
    const std::lock_guard lock(mutex_);
    if (const auto place = open_.find(Normal(path)); place != open_.end()) {
      *bytes = *place->second;
      return IOStatus::OK();
    }
  }
  return FileSystemWrapper::GetFileSize(path, options, bytes, debug);
}

}  // namespace oncegate::store

#include "store/compaction_room.h"

#include <rocksdb/file_system.h>

#include <filesystem>
#include <string>
#include <utility>

namespace oncegate::store {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class Room final : public rocksdb::FileSystemWrapper {
 public:
  Room(const std::shared_ptr<rocksdb::FileSystem>& base, uint64_t bytes) : FileSystemWrapper(base), bytes_(bytes) {}

  const char* Name() const override { return "oncegate.CompactionRoom"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override;

  // Whether the room is still there when so much has been written into the file's directory.
  bool IsLeft(const std::string& path, uint64_t bytes, const IOOptions& options, IODebugContext* debug) {
    uint64_t free_bytes = 0;
    const std::string directory = std::filesystem::path(path).parent_path().string();
    // Where it cannot be told, whoever writes will find out.
    return !GetFreeSpace(directory, options, &free_bytes, debug).ok() || free_bytes >= bytes + bytes_;
  }

 private:
  class File;

  const uint64_t bytes_;
};

class Room::File final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  File(Room& room, std::string path, std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), room_(room), path_(std::move(path)) {}

  // Sets blocks aside for what is to come, up to a whole file.
  void PrepareWrite(size_t offset, size_t size, const IOOptions& options, IODebugContext* debug) override {
    size_t block_bytes = 0;
    size_t last_block = 0;
    GetPreallocationStatus(&block_bytes, &last_block);
    if (!IsOfCompaction() || room_.IsLeft(path_, size + block_bytes, options, debug))
      FSWritableFileOwnerWrapper::PrepareWrite(offset, size, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    if (IsOfCompaction() && !room_.IsLeft(path_, data.size(), options, debug)) return NoRoom();
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* debug) override {
    if (IsOfCompaction() && !room_.IsLeft(path_, data.size(), options, debug)) return NoRoom();
    return FSWritableFileOwnerWrapper::Append(data, options, verification, debug);
  }

 private:
  // RocksDB says it before it writes: what flushes write has a high one. While writes wait for a flush both have that
  // of users, and nobody is kept from anything.
  [[nodiscard]] bool IsOfCompaction() const { return io_priority_ == rocksdb::Env::IO_LOW; }
  [[nodiscard]] IOStatus NoRoom() const {
    return IOStatus::NoSpace("a compaction leaves what is free to logs and flushes", path_);
  }

  Room& room_;
  const std::string path_;
};

IOStatus Room::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
  if (status.ok() && (path.ends_with(".sst") || path.ends_with(".blob")))
    *file = std::make_unique<File>(*this, path, std::move(*file));
  return status;
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> NewCompactionRoom(const std::shared_ptr<rocksdb::FileSystem>& base,
                                                       uint64_t bytes) {
  if (bytes == 0) return base;
  return std::make_shared<Room>(base, bytes);
}

}  // namespace oncegate::store

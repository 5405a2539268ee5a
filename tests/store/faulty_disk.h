#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace oncegate {

// A disk for RocksDB to stand on that knows what a power cut would leave of it, and that fails on demand. Files stand
// where they are told to, so that everything else sees them; the disk remembers how much of each was synced, and which
// creations, renames and deletions no sync of their directory has made last. It syncs nothing itself, which is quicker.
// Thread-safe.
class FaultyDisk : public rocksdb::FileSystemWrapper {
 public:
  // `scratch` is a directory for the disk's own use, on the same file system as the files.
  explicit FaultyDisk(std::string scratch);

  const char* Name() const override { return "FaultyDisk"; }
  // Stands on this disk; must not outlive it.
  [[nodiscard]] rocksdb::Env* env() const { return env_.get(); }

  // -- Power.
  enum class Keep {
    kSynced,  // what was not synced is gone
    // Of each file some of its last bytes are there, of what was written over zeros some sectors, and of what was done
    // in directories the beginning.
    kSomeUnsynced,
  };
  // Puts what a power cut would leave of `directory` into `image`, which it creates. False, and there is no image, if
  // the directory itself would be gone.
  bool Image(const std::string& directory, const std::string& image, Keep keep, uint64_t seed);
  // Takes what is in `directory` as synced.
  void Adopt(const std::string& directory);
  // Says of the files' syncs that they worked, and does nothing.
  void set_sync_lies(bool lies) { sync_lies_ = lies; }
  // Called before each sync of a file or directory, which is also after the one before it: nothing becomes durable in
  // between. To be set while nothing else runs.
  void OnSync(std::function<void()> call) { on_sync_ = std::move(call); }

  // -- Faults. Each lasts until Heal, and of a failing append half is written.
  enum class Operation { kAppend, kSync, kCreate, kSyncDirectory };
  // `name` is a part of the names of the files that it hits; empty: all. A file whose sync failed will not be synced
  // any more, whatever later syncs say: the kernel has dropped what it could not write.
  void Break(Operation operation, std::string name, rocksdb::IOStatus error);
  // The same for what RocksDB's own compactions do and nothing else, or for what is not done by RocksDB's threads, the
  // first `times` only.
  void BreakCompactions(Operation operation, std::string name, rocksdb::IOStatus error);
  void BreakCallers(Operation operation, std::string name, rocksdb::IOStatus error, int times);
  // No byte and no file fits any more.
  void FillUp();
  // What it says that is free, without anything failing.
  void set_free_bytes(uint64_t bytes) { free_bytes_ = bytes; }
  void Heal();
  [[nodiscard]] int64_t faults() const { return faults_; }
  static rocksdb::IOStatus InputOutputError();
  static rocksdb::IOStatus NoSpaceLeft();

  // -- A slow disk: syncs of files with this in their names do not return until Unblock.
  void BlockSyncs(std::string name);
  void Unblock();
  // Waits until so many syncs hang.
  void WaitUntilBlocked(int syncs);

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  // For writing zeros behind a file's end.
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options, uint64_t* bytes,
                                 rocksdb::IODebugContext* debug) override;

 private:
  class File;
  class Room;
  class Directory;

  // What a file is apart from its names. Its contents stand under its number in the scratch directory, too, where they
  // stay when its names are gone.
  struct Contents {
    ~Contents();
    std::string path;
    uint64_t written = 0;
    uint64_t synced = 0;
    // How far zeros were written for what comes (NewRandomRWFile), and how far they were synced.
    uint64_t room = 0;
    uint64_t room_synced = 0;
    bool sync_failed = false;
  };
  using Entries = std::map<std::string, std::shared_ptr<Contents>>;
  struct Change {
    std::string path;
    std::shared_ptr<Contents> contents;  // null: the entry goes
  };
  struct Fault {
    Operation operation;
    std::string name;
    rocksdb::IOStatus error;
    std::string_view thread{};  // what the name of a thread that it hits begins with; "!" and what it must not
    int times = INT_MAX;        // how often it hits
  };

  rocksdb::IOStatus Check(Operation operation, const std::string& path);
  rocksdb::IOStatus SyncFile(const std::string& path, Contents* contents);
  rocksdb::IOStatus SyncDirectory(const std::string& path);
  void WaitIfBlocked(const std::string& path);
  // REQUIRES mu_ for the following.
  std::shared_ptr<Contents> NewContents(const std::string& path);
  void Enter(const std::string& path, std::shared_ptr<Contents> contents);
  static void Apply(const Change& change, Entries* entries);
  static void CopyWhatIsLeft(const Contents& contents, const std::string& copy, Keep keep, std::mt19937_64& random);

  const std::string scratch_;
  std::unique_ptr<rocksdb::Env> env_;
  std::function<void()> on_sync_;
  std::atomic<bool> sync_lies_{false};
  std::atomic<int64_t> faults_{0};
  std::atomic<uint64_t> free_bytes_{uint64_t{1} << 40};

  std::mutex mu_;
  // Guarded by mu_.
  Entries now_;
  Entries synced_;                           // as they were when their directory was synced
  std::vector<Change> unsynced_;             // what was done since
  std::map<std::string, bool> directories_;  // those that are sure to be there after a power cut
  std::vector<Fault> broken_;
  bool full_ = false;
  uint64_t last_number_ = 0;

  std::mutex block_mu_;
  std::condition_variable block_changed_;
  // Guarded by block_mu_.
  bool blocking_ = false;
  std::string blocked_name_;
  int blocked_ = 0;
};

}  // namespace oncegate

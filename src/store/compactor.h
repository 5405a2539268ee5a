#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/status.h"
#include "store/database.h"

namespace oncegate::store {

// Takes expired entries off the disk by compacting the table files that hold them, which RocksDB does not do by itself
// while nothing is written.
class Compactor {
 public:
  // `stop` ends a run early, between two files.
  Compactor(Database& database, std::atomic<bool>& stop) : database_(database), stop_(stop) {}

  // Compacts each file of which at least this share has expired by `cutoff_ms`, and any that has something expired in
  // it if the share is 0. After an error, of which the first is returned, some files were not rewritten; the others
  // were. REQUIRES: the filter's cutoff is at least `cutoff_ms`.
  Status Run(int64_t cutoff_ms, double share_min);

  // Entries that had not expired and were written again.
  [[nodiscard]] uint64_t rewritten() const { return rewritten_; }

  // What table and blob files in use take up.
  uint64_t LiveBytes();

  // Files of which at least this share has expired are rewritten by periodic cleanups: what is expired is at least as
  // much as what has to be written again. Unless nearly all of the file expires within the time that is worth waiting
  // for: then it goes whole, and nothing is written again.
  static constexpr double kPeriodicShareMin = 0.5;
  static constexpr double kNearlyAllShare = 0.95;
  static constexpr int64_t kWorthWaitingMs = 3'600'000;

 private:
  // A file may come through another level before it is at the bottom; more passes would only meet files that a
  // background compaction holds.
  static constexpr int kPassesMax = 4;
  // Less garbage than this in a blob file is left there, whoever asks: its live bodies would have to be written again.
  static constexpr double kGarbageShareMin = 0.25;

  struct Candidate {
    std::string file;
    int level = 0;
  };

  // For compactions that RocksDB began by itself: it holds files that are to be compacted.
  static constexpr std::chrono::milliseconds kOthersWaitMax{2000};
  static constexpr std::chrono::milliseconds kOthersWaitStep{5};

  void WaitForOthers();
  Status RunFamily(Family family, int64_t cutoff_ms, double share_min);
  Status DropHead(Family family, int64_t cutoff_ms);
  Result<std::vector<Candidate>> FindCandidates(Family family, int64_t cutoff_ms, double share_min);
  Status Compact(Family family, const Candidate& candidate);
  Status CollectBlobs(double share_min);
  Status Relocate(const std::string& first, const std::string& last);
  int LevelBelow(Family family, int level);

  Database& database_;
  std::atomic<bool>& stop_;
  uint64_t rewritten_ = 0;
};

}  // namespace oncegate::store

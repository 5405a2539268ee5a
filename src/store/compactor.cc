#include "store/compactor.h"

#include <rocksdb/convenience.h>
#include <rocksdb/metadata.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/expiry_properties.h"
#include "store/keys.h"

namespace oncegate::store {
namespace {

// The file's name without its directory: RocksDB names it with one in properties and with a slash in metadata.
std::string BaseName(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

bool IsDue(const rocksdb::TableProperties& properties, int64_t cutoff_ms, double share_min) {
  const auto property = properties.user_collected_properties.find(kExpiryProperty);
  ExpiryHistogram histogram;
  if (property == properties.user_collected_properties.end() ||
      !ExpiryHistogram::Decode(property->second, &histogram) || !histogram.AnyExpiredBy(cutoff_ms))
    return false;
  if (share_min == 0) return true;
  const double share = histogram.ShareExpiredBy(cutoff_ms);
  const double soon = histogram.ShareExpiredBy(cutoff_ms + Compactor::kWorthWaitingMs);
  return share >= Compactor::kNearlyAllShare || (share >= share_min && soon < Compactor::kNearlyAllShare);
}

// A background compaction may hold the file, or have replaced it since it was found. Another pass finds what it left.
bool IsTaken(const rocksdb::Status& status) {
  return status.IsInvalidArgument() || status.IsAborted() || status.IsIncomplete() || status.IsBusy();
}

// Whether a compaction that failed may be in the manifest: not if it failed at one of the files that it reads or
// writes.
bool MayBeInManifest(const rocksdb::Status& status) {
  if (status.ok() || IsTaken(status)) return false;
  const std::string text = status.ToString();
  const auto names = [&text](std::string_view name) { return text.find(name) != std::string::npos; };
  return names("MANIFEST") || names("CURRENT") || !(names(".sst") || names(".blob"));
}

}  // namespace

Status Compactor::Run(int64_t cutoff_ms, double share_min) {
  // What fails is left for the next run. Most of what has expired needs no room, and makes some; and one file that
  // cannot be read is no reason to keep all others.
  Status result;
  for (const Family family : kExpiringFamilies) {
    Status status = RunFamily(family, cutoff_ms, share_min);
    if (result.ok()) result = std::move(status);
  }
  return result;
}

uint64_t Compactor::LiveBytes() {
  return database_.Property(rocksdb::DB::Properties::kLiveSstFilesSize) +
         database_.Property(rocksdb::DB::Properties::kTotalBlobFileSize);
}

Status Compactor::RunFamily(Family family, int64_t cutoff_ms, double share_min) {
  // Not the tables of bodies, though their keys begin with the time, too: what a blob file still holds is only known of
  // those that a compaction took out of it, and a file of which nothing is known stays until all older ones are gone.
  // Their tables hold references, so that compacting them costs little.
  if (family == Family::kExpiry) {
    if (Status status = DropHead(family, cutoff_ms); !status.ok()) return status;
  }
  Status result;
  for (int pass = 0; pass < kPassesMax && result.ok(); ++pass) {
    Result<std::vector<Candidate>> candidates = FindCandidates(family, cutoff_ms, share_min);
    if (!candidates.ok()) return candidates.status();
    if (candidates->empty()) break;
    // Found here: a compaction that began before the cutoff was raised keeps what has expired since.
    WaitForOthers();
    for (const Candidate& candidate : *candidates) {
      if (stop_.load()) return result;
      Status status = Compact(family, candidate);
      if (result.ok()) result = std::move(status);
    }
  }
  if (!result.ok() || family != Family::kBodies) return result;
  return CollectBlobs(std::max(share_min, kGarbageShareMin));
}

// RocksDB 7.8 tells how many compactions run, and has no way to wait for them.
void Compactor::WaitForOthers() {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  for (auto waited = std::chrono::milliseconds(0); waited < kOthersWaitMax; waited += kOthersWaitStep) {
    uint64_t running = 0;
    database_.db().GetIntProperty(rocksdb::DB::Properties::kNumRunningCompactions, &running);
    if (running == 0 || stop_.load()) return;
    never.wait_for(lock, kOthersWaitStep);
  }
}

// Families whose keys begin with the time: files that lie wholly before the cutoff go without being read.
Status Compactor::DropHead(Family family, int64_t cutoff_ms) {
  const std::string limit = TimeBound(cutoff_ms + 1);
  const rocksdb::Slice limit_slice(limit);
  const rocksdb::RangePtr head(nullptr, &limit_slice);
  return FromRocks(
      rocksdb::DeleteFilesInRanges(&database_.db(), database_.Handle(family), &head, 1, /*include_end=*/false),
      "dropping expired files");
}

Result<std::vector<Compactor::Candidate>> Compactor::FindCandidates(Family family, int64_t cutoff_ms,
                                                                    double share_min) {
  rocksdb::TablePropertiesCollection tables;
  const rocksdb::Status read = database_.db().GetPropertiesOfAllTables(database_.Handle(family), &tables);
  if (!read.ok()) return FromRocks(read, "reading the properties of table files");
  std::map<std::string, bool> due;
  for (const auto& [path, properties] : tables) due[BaseName(path)] = IsDue(*properties, cutoff_ms, share_min);
  rocksdb::ColumnFamilyMetaData metadata;
  database_.db().GetColumnFamilyMetaData(database_.Handle(family), &metadata);
  std::vector<Candidate> candidates;
  for (const rocksdb::LevelMetaData& level : metadata.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      if (due[BaseName(file.name)]) candidates.push_back({.file = BaseName(file.name), .level = level.level});
    }
  }
  return candidates;
}

// The next level with files, or the last one: where a compaction of the level has to go.
int Compactor::LevelBelow(Family family, int level) {
  rocksdb::ColumnFamilyMetaData metadata;
  database_.db().GetColumnFamilyMetaData(database_.Handle(family), &metadata);
  for (const rocksdb::LevelMetaData& below : metadata.levels) {
    if (below.level > level && !below.files.empty()) return below.level;
  }
  return database_.db().NumberLevels(database_.Handle(family)) - 1;
}

Status Compactor::Compact(Family family, const Candidate& candidate) {
  rocksdb::CompactionOptions options;
  options.compression = rocksdb::kDisableCompressionOption;  // that is: as the family says
  options.output_file_size_limit = TableBytesMax(family);
  rocksdb::CompactionJobInfo done;
  // If the change could not be written to the manifest it may be there all the same, and RocksDB would delete the files
  // that it names: the store would not open again. (Of its own compactions it keeps them.)
  database_.RenewManifestIfInDoubt();
  const auto keep_files = database_.KeepFiles();
  const rocksdb::Status status = database_.db().CompactFiles(options, database_.Handle(family), {candidate.file},
                                                             LevelBelow(family, candidate.level), -1, nullptr, &done);
  if (status.ok()) rewritten_ += done.stats.num_output_records;
  if (MayBeInManifest(status)) database_.RenewManifest();
  return IsTaken(status) ? OkStatus() : FromRocks(status, "compacting expired files");
}

// Bodies that still live move out of blob files that they share with many that do not. A table tells the oldest of the
// blob files that it refers to, so that one pass finds what the one before has left.
Status Compactor::CollectBlobs(double share_min) {
  for (int pass = 0; pass < kPassesMax; ++pass) {
    rocksdb::ColumnFamilyMetaData metadata;
    database_.db().GetColumnFamilyMetaData(database_.Handle(Family::kBodies), &metadata);
    std::set<uint64_t> wasteful;
    for (const rocksdb::BlobMetaData& blobs : metadata.blob_files) {
      const auto garbage = static_cast<double>(blobs.garbage_blob_bytes);
      if (garbage > 0 && garbage >= share_min * static_cast<double>(blobs.total_blob_bytes))
        wasteful.insert(blobs.blob_file_number);
    }
    bool found = false;
    for (const rocksdb::LevelMetaData& level : metadata.levels) {
      for (const rocksdb::SstFileMetaData& file : level.files) {
        if (wasteful.count(file.oldest_blob_file_number) == 0) continue;
        if (stop_.load()) return OkStatus();
        found = true;
        if (Status status = Relocate(file.smallestkey, file.largestkey); !status.ok()) return status;
      }
    }
    if (!found) return OkStatus();
  }
  return OkStatus();
}

Status Compactor::Relocate(const std::string& first, const std::string& last) {
  const rocksdb::Slice begin(first);
  const rocksdb::Slice end(last);
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
  options.blob_garbage_collection_age_cutoff = 1.0;
  options.canceled = &stop_;
  const rocksdb::Status status = database_.db().CompactRange(options, database_.Handle(Family::kBodies), &begin, &end);
  return IsTaken(status) ? OkStatus() : FromRocks(status, "moving bodies out of expired files");
}

}  // namespace oncegate::store

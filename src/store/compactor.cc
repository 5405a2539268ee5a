#include "store/compactor.h"

#include <rocksdb/convenience.h>
#include <rocksdb/metadata.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <map>
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
  return share_min == 0 || histogram.ShareExpiredBy(cutoff_ms) >= share_min;
}

// A background compaction may hold the file, or have replaced it since it was found. Another pass finds what it left.
bool IsTaken(const rocksdb::Status& status) {
  return status.IsInvalidArgument() || status.IsAborted() || status.IsIncomplete() || status.IsBusy();
}

}  // namespace

Status Compactor::Run(int64_t cutoff_ms, double share_min) {
  for (const Family family : kExpiringFamilies) {
    if (Status status = RunFamily(family, cutoff_ms, share_min); !status.ok()) return status;
  }
  return OkStatus();
}

uint64_t Compactor::LiveBytes() {
  return database_.Property(rocksdb::DB::Properties::kLiveSstFilesSize) +
         database_.Property(rocksdb::DB::Properties::kTotalBlobFileSize);
}

Status Compactor::RunFamily(Family family, int64_t cutoff_ms, double share_min) {
  if (family == Family::kExpiry || family == Family::kBodies) {
    if (Status status = DropHead(family, cutoff_ms); !status.ok()) return status;
  }
  for (int pass = 0; pass < kPassesMax; ++pass) {
    Result<std::vector<Candidate>> candidates = FindCandidates(family, cutoff_ms, share_min);
    if (!candidates.ok()) return candidates.status();
    if (candidates->empty()) return OkStatus();
    // Bodies that still live share blob files with those that do not; an explicit cleanup moves them out.
    if (family == Family::kBodies && share_min == 0) {
      if (Status status = CollectBlobs(cutoff_ms); !status.ok()) return status;
      continue;
    }
    for (const Candidate& candidate : *candidates) {
      if (stop_.load()) return OkStatus();
      if (Status status = Compact(family, candidate); !status.ok()) return status;
    }
  }
  return OkStatus();
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
  const rocksdb::Status status = database_.db().CompactFiles(options, database_.Handle(family), {candidate.file},
                                                             LevelBelow(family, candidate.level));
  return IsTaken(status) ? OkStatus() : FromRocks(status, "compacting expired files");
}

Status Compactor::CollectBlobs(int64_t cutoff_ms) {
  const std::string limit = TimeBound(cutoff_ms + 1);
  const rocksdb::Slice limit_slice(limit);
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
  options.blob_garbage_collection_age_cutoff = 1.0;
  options.canceled = &stop_;
  const rocksdb::Status status =
      database_.db().CompactRange(options, database_.Handle(Family::kBodies), nullptr, &limit_slice);
  return IsTaken(status) ? OkStatus() : FromRocks(status, "compacting expired bodies");
}

}  // namespace oncegate::store

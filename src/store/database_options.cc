// How RocksDB is set up.

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <limits>

#include "store/background_errors.h"
#include "store/codec.h"
#include "store/database.h"
#include "store/expiry_properties.h"
#include "store/io_limiter.h"
#include "store/keys.h"
#include "store/rocks_log.h"

namespace oncegate::store {
namespace {

// What flushes, compactions and cleanups may read and write together: several times what they need at the rate of first
// deliveries that one disk's syncs allow, and little enough that a cleanup of everything leaves the disk to others.
constexpr int64_t kBackgroundBytesPerSecondMax = 128LL << 20;

struct Expiry {
  ExpiryIn where;
  ExpiresAtFunction function;
};

// Only for families whose entries expire.
Expiry ExpiryOf(Family family) {
  switch (family) {
    case Family::kRecords:
      return {ExpiryIn::kValue, ExpiresAtOfRecord};
    case Family::kBodies:
    case Family::kExpiry:
      return {ExpiryIn::kKey, ExpiresAtOfTimeKey};
    case Family::kDefault:
    case Family::kOpen:
    case Family::kCreated:
    case Family::kLabels:
    case Family::kReplays:
      break;
  }
  return {ExpiryIn::kValue, ExpiresAtOfValue};
}

// Whether keys are looked up that may not be there.
bool IsLookedUpByKey(Family family) {
  return family == Family::kRecords || family == Family::kBodies || family == Family::kReplays;
}

}  // namespace

rocksdb::DBOptions Database::MakeDbOptions() {
  rocksdb::DBOptions options;
  options.env = env_.get();
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.write_buffer_manager = write_buffers_;
  // Small families are seldom flushed and would keep old logs alive; at this size they are. It also bounds what a start
  // after a crash has to read.
  options.max_total_wal_size = static_cast<uint64_t>(std::max<int64_t>(memtable_bytes_, 32LL << 20));
  options.max_background_jobs = 2;
  // Who joins a group of writes sleeps once, until the group is on disk. Otherwise each is woken to put its own share
  // into the memtable, and sleeps again: measured, a sixth fewer writes a second with 20 threads on two cores.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  options.max_open_files = 512;  // leaves descriptors for connections under the usual limit of 1024
  options.bytes_per_sync = 1 << 20;
  options.rate_limiter = NewIoLimiter(kBackgroundBytesPerSecondMax);
  // A log whose last record is torn was cut off while that record was being written, so nobody was told that it is
  // there. Damage before the end is a lost claim: the default mode would end the replay there without a word, this one
  // refuses to open. Without syncs a power cut may leave a log torn that others follow: what was written last is then
  // what comes after the gap, and goes; with it, a record could part from its index.
  options.wal_recovery_mode = async_logs_ ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                                          : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  ErrorCalls calls;
  calls.damaged = [this](const rocksdb::Status& error) {
    Status status = FromRocks(error, "rewriting tables");
    // Only if it says where; else whoever reads there next knows more.
    if (status.message().find(".sst") != std::string::npos) (void)Note(std::move(status));
  };
  calls.compaction_failed = [this](const std::string& family) { CountFailedCompaction(family); };
  options.listeners.push_back(NewErrorListener(&errors_, std::move(calls)));
  options.max_bgerror_resume_count = 0;  // see there
  options.info_log = NewRocksLog(logger_);
  // An idle process stays idle.
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions Database::MakeFamilyOptions(Family family) const {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = static_cast<size_t>(memtable_bytes_);  // the manager's limit is for all families together
  // Nine tenths of a store are at the bottom, where ZSTD takes two thirds of what LZ4 takes; above, it would only be
  // rewritten soon.
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  options.level_compaction_dynamic_level_bytes = true;
  options.target_file_size_base = TableBytesMax(family);
  options.max_bytes_for_level_base = 64 << 20;
  // Writes never wait for compactions: those may wait for room on the disk, which the cleanup makes, which writes; and
  // of one that fails RocksDB is told that all is well (background_errors.h), so that it would wait for ever. What
  // bounds the files that pile up meanwhile is the guard of free space.
  options.level0_slowdown_writes_trigger = options.level0_stop_writes_trigger = std::numeric_limits<int>::max();
  options.soft_pending_compaction_bytes_limit = options.hard_pending_compaction_bytes_limit = 0;
  // Cleanups find expired files by themselves; these options are only looked at when something is written.
  options.ttl = 0;
  options.periodic_compaction_seconds = 0;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache_;
  table.format_version = 5;
  // Twice RocksDB's own: records compress better in company, and the index is half as large (docs/decisions.md).
  table.block_size = 8 << 10;
  // The indexes by time are only scanned.
  if (IsLookedUpByKey(family)) table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  // In pieces. The index of one table of records is a MiB, which is a third of one of the cache's shards: a few hot
  // ones in a shard would displace each other, and every read would read one whole.
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  if (family == Family::kRecords) {
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
    table.data_block_hash_table_util_ratio = 0.75;
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  if (family == Family::kBodies) {
    options.enable_blob_files = true;
    options.min_blob_size = kInlineRequestBytesMax;
    // A flush writes bodies in the order of their expiry: the smaller its files, the fewer hold bodies of several ttls,
    // which stay until the last of them goes.
    options.blob_file_size = 8 << 20;
    options.blob_compression_type = rocksdb::kLZ4Compression;
    options.blob_cache = cache_;
    options.enable_blob_garbage_collection = true;
  }
  if (family == Family::kDefault) return options;
  const Expiry expiry = ExpiryOf(family);
  options.compaction_filter_factory = NewTtlFilterFactory(filter_cutoff_, expiry.where, expiry.function);
  options.table_properties_collector_factories.push_back(NewExpiryCollectorFactory(expiry.function));
  return options;
}

}  // namespace oncegate::store

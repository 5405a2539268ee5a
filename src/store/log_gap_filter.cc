#include "store/log_gap_filter.h"

#include <rocksdb/write_batch.h>

namespace oncegate::store {
namespace {

// A batch begins with its sequence number, little-endian (RocksDB's db/write_batch.cc).
uint64_t SequenceOf(const rocksdb::WriteBatch& batch) {
  uint64_t sequence = 0;
  for (size_t i = sizeof sequence; i-- > 0;) sequence = sequence << 8 | static_cast<uint8_t>(batch.Data()[i]);
  return sequence;
}

}  // namespace

rocksdb::WalFilter::WalProcessingOption LogGapFilter::LogRecordFound(unsigned long long log_number,
                                                                     const std::string& log_file_name,
                                                                     const rocksdb::WriteBatch& batch,
                                                                     rocksdb::WriteBatch* /*new_batch*/,
                                                                     bool* /*batch_changed*/) {
  const uint64_t sequence = SequenceOf(batch);
  if (log_number_ != 0 && log_number != log_number_ && sequence != next_sequence_) {
    stopped_at_ = log_file_name;
    return WalProcessingOption::kStopReplay;
  }
  log_number_ = log_number;
  next_sequence_ = sequence + batch.Count();
  return WalProcessingOption::kContinueProcessing;
}

}  // namespace oncegate::store

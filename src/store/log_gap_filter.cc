#include "store/log_gap_filter.h"

#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <string>

namespace oncegate::store {
namespace {

// A batch begins with its sequence number, little-endian (RocksDB's db/write_batch.cc).
uint64_t SequenceOf(const rocksdb::WriteBatch& batch) {
  uint64_t sequence = 0;
  for (size_t i = sizeof sequence; i-- > 0;) sequence = sequence << 8 | static_cast<uint8_t>(batch.Data()[i]);
  return sequence;
}

class LogGapFilter final : public rocksdb::WalFilter {
 public:
  explicit LogGapFilter(Logger* logger) : logger_(logger) {}
  const char* Name() const override { return "oncegate.log_gap"; }

  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& log_file_name,
                                     const rocksdb::WriteBatch& batch, rocksdb::WriteBatch* /*new_batch*/,
                                     bool* /*batch_changed*/) override {
    const uint64_t sequence = SequenceOf(batch);
    if (log_number_ != 0 && log_number != log_number_ && sequence != next_sequence_) {
      if (logger_ != nullptr)
        logger_->Log(LogLevel::kWarn, LogEvent::kWarning, "the end of the log is lost: what was written last is gone",
                     {{"reason", "without syncs a power cut may leave a gap"}, {"file", log_file_name}});
      return WalProcessingOption::kStopReplay;
    }
    log_number_ = log_number;
    next_sequence_ = sequence + batch.Count();
    return WalProcessingOption::kContinueProcessing;
  }

 private:
  Logger* const logger_;
  uint64_t log_number_ = 0;     // of the record before; 0: there was none
  uint64_t next_sequence_ = 0;  // that the record before leads to expect
};

}  // namespace

std::unique_ptr<rocksdb::WalFilter> NewLogGapFilter(Logger* logger) {
  return std::make_unique<LogGapFilter>(logger);
}

}  // namespace oncegate::store

#pragma once

#include <rocksdb/wal_filter.h>

#include <cstdint>
#include <string>

namespace oncegate::store {

// Ends the replay of logs at the first gap between two of them. Without syncs a power cut may take the whole of what a
// log held, or whole records off its end, and leave the next log: RocksDB sees no damage then, and would take what was
// written later for what came next. (Of a record that is torn it knows, and ends the replay by itself.)
//
// Sequence numbers tell: they count what batches hold, and go on from log to log. They skip the batches whose write
// failed; but then RocksDB takes no other before all that it had is in tables, so that the logs of before are not read
// any more. For one opening; not thread-safe.
class LogGapFilter final : public rocksdb::WalFilter {
 public:
  const char* Name() const override { return "oncegate.log_gap"; }
  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& log_file_name,
                                     const rocksdb::WriteBatch& batch, rocksdb::WriteBatch* new_batch,
                                     bool* batch_changed) override;

  // The log behind the gap; empty: there was none.
  [[nodiscard]] const std::string& stopped_at() const { return stopped_at_; }

 private:
  uint64_t log_number_ = 0;     // of the record before; 0: there was none
  uint64_t next_sequence_ = 0;  // that the record before leads to expect
  std::string stopped_at_;
};

}  // namespace oncegate::store

#include "store/expiry_properties.h"

#include <rocksdb/table_properties.h>

#include <algorithm>

#include "core/record.h"
#include "store/bytes.h"

namespace oncegate::store {
namespace {

class ExpiryCollector final : public rocksdb::TablePropertiesCollector {
 public:
  explicit ExpiryCollector(ExpiresAtFunction expires_at) : expires_at_(expires_at) {}

  const char* Name() const noexcept override { return "oncegate.expiry_collector"; }

  // What the histogram allocates is bounded and small; running out of memory here ends the process, as it does
  // anywhere else in RocksDB.
  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value, rocksdb::EntryType type,
                             rocksdb::SequenceNumber /*seq*/, uint64_t /*file_size*/) noexcept override {
    if (type != rocksdb::kEntryPut && type != rocksdb::kEntryBlobIndex) return rocksdb::Status::OK();
    int64_t expires_at_ms = 0;
    const bool known = expires_at_({key.data(), key.size()}, {value.data(), value.size()}, &expires_at_ms);
    histogram_.Add(known ? expires_at_ms : kNever);
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) noexcept override {
    properties->emplace(kExpiryProperty, histogram_.Encode());
    return rocksdb::Status::OK();
  }

  rocksdb::UserCollectedProperties GetReadableProperties() const noexcept override {
    return {{kExpiryProperty, std::to_string(histogram_.entries()) + " entries"}};
  }

 private:
  const ExpiresAtFunction expires_at_;
  ExpiryHistogram histogram_;
};

class ExpiryCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  explicit ExpiryCollectorFactory(ExpiresAtFunction expires_at) : expires_at_(expires_at) {}

  const char* Name() const noexcept override { return "oncegate.expiry_collector_factory"; }

  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context /*context*/) noexcept override {
    return std::make_unique<ExpiryCollector>(expires_at_).release();  // RocksDB deletes it
  }

 private:
  const ExpiresAtFunction expires_at_;
};

}  // namespace

void ExpiryHistogram::Add(int64_t expires_at_ms) {
  ++entries_;
  if (expires_at_ms == kNever || expires_at_ms < 0) return;
  min_ms_ = expiring_ == 0 ? expires_at_ms : std::min(min_ms_, expires_at_ms);
  max_ms_ = expiring_ == 0 ? expires_at_ms : std::max(max_ms_, expires_at_ms);
  ++expiring_;
  ++cells_[expires_at_ms / width_ms_];
  while (cells_.size() > kCellsMax) Widen();
}

void ExpiryHistogram::Widen() {
  std::map<int64_t, uint64_t> wider;
  for (const auto& [cell, count] : cells_) wider[cell / 2] += count;
  cells_ = std::move(wider);
  width_ms_ *= 2;
}

double ExpiryHistogram::ShareExpiredBy(int64_t cutoff_ms) const {
  if (entries_ == 0 || expiring_ == 0) return 0;
  uint64_t expired = 0;
  if (max_ms_ <= cutoff_ms) {
    expired = expiring_;
  } else {
    const int64_t cells_end = (cutoff_ms + 1) / width_ms_;
    for (const auto& [cell, count] : cells_) {
      if (cell >= cells_end) break;
      expired += count;
    }
  }
  return static_cast<double>(expired) / static_cast<double>(entries_);
}

std::string ExpiryHistogram::Encode() const {
  std::string out;
  PutVarint(&out, entries_);
  PutVarint(&out, expiring_);
  PutTime(&out, min_ms_);
  PutTime(&out, max_ms_);
  PutTime(&out, width_ms_);
  PutVarint(&out, cells_.size());
  for (const auto& [cell, count] : cells_) {
    PutTime(&out, cell);
    PutVarint(&out, count);
  }
  return out;
}

bool ExpiryHistogram::Decode(std::string_view bytes, ExpiryHistogram* histogram) {
  Reader reader(bytes);
  ExpiryHistogram decoded;
  decoded.entries_ = reader.Varint();
  decoded.expiring_ = reader.Varint();
  decoded.min_ms_ = reader.Time();
  decoded.max_ms_ = reader.Time();
  decoded.width_ms_ = reader.Time();
  const uint64_t cells = reader.Varint();
  if (!reader.ok() || cells > kCellsMax || decoded.width_ms_ < kFirstWidthMs) return false;
  for (uint64_t i = 0; i < cells; ++i) {
    const int64_t cell = reader.Time();
    decoded.cells_[cell] = reader.Varint();
  }
  if (!reader.ok()) return false;
  *histogram = std::move(decoded);
  return true;
}

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewExpiryCollectorFactory(ExpiresAtFunction expires_at) {
  return std::make_shared<ExpiryCollectorFactory>(expires_at);
}

}  // namespace oncegate::store

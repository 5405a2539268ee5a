#include "store/ttl_filter.h"

#include <rocksdb/compaction_filter.h>

#include <utility>

namespace oncegate::store {
namespace {

std::string_view View(const rocksdb::Slice& slice) noexcept {
  return {slice.data(), slice.size()};
}

class TtlFilter final : public rocksdb::CompactionFilter {
 public:
  TtlFilter(int64_t cutoff_ms, ExpiryIn where, ExpiresAtFunction expires_at)
      : cutoff_ms_(cutoff_ms), where_(where), expires_at_(expires_at) {}

  const char* Name() const noexcept override { return "oncegate.ttl"; }

  // kRemove is the only safe verdict: RocksDB turns it into a deletion, which hides older versions of the key further
  // down, whereas skipping ahead would bring them back.
  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice& value,
                    std::string* /*new_value*/, std::string* /*skip_until*/) const noexcept override {
    if (type != ValueType::kValue) return Decision::kKeep;
    return Judge(View(key), View(value));
  }

  // Bodies in blob files: the key says it all, so that the blob is not read.
  Decision FilterBlobByKey(int /*level*/, const rocksdb::Slice& key, std::string* /*new_value*/,
                           std::string* /*skip_until*/) const noexcept override {
    return where_ == ExpiryIn::kKey ? Judge(View(key), {}) : Decision::kKeep;
  }

 private:
  [[nodiscard]] Decision Judge(std::string_view key, std::string_view value) const noexcept {
    int64_t expires_at_ms = 0;
    if (!expires_at_(key, value, &expires_at_ms)) return Decision::kKeep;
    return expires_at_ms <= cutoff_ms_ ? Decision::kRemove : Decision::kKeep;
  }

  const int64_t cutoff_ms_;
  const ExpiryIn where_;
  const ExpiresAtFunction expires_at_;
};

class TtlFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  TtlFilterFactory(std::shared_ptr<const FilterCutoff> cutoff, ExpiryIn where, ExpiresAtFunction expires_at)
      : cutoff_(std::move(cutoff)), where_(where), expires_at_(expires_at) {}

  const char* Name() const noexcept override { return "oncegate.ttl_factory"; }

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) noexcept override {
    return std::make_unique<TtlFilter>(cutoff_->load(), where_, expires_at_);
  }

 private:
  const std::shared_ptr<const FilterCutoff> cutoff_;
  const ExpiryIn where_;
  const ExpiresAtFunction expires_at_;
};

}  // namespace

std::shared_ptr<rocksdb::CompactionFilterFactory> NewTtlFilterFactory(std::shared_ptr<const FilterCutoff> cutoff,
                                                                      ExpiryIn where, ExpiresAtFunction expires_at) {
  return std::make_shared<TtlFilterFactory>(std::move(cutoff), where, expires_at);
}

}  // namespace oncegate::store

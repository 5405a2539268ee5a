#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "store/ttl_filter.h"

namespace rocksdb {
class TablePropertiesCollectorFactory;
}

namespace oncegate::store {

// How many entries of a table file expire when, in at most kCellsMax cells of equal width; the width doubles until the
// cells suffice. Not thread-safe.
class ExpiryHistogram {
 public:
  static constexpr size_t kCellsMax = 64;
  static constexpr int64_t kFirstWidthMs = 1000;

  // kNever and times below 0 count as entries that do not expire.
  void Add(int64_t expires_at_ms);

  [[nodiscard]] uint64_t entries() const { return entries_; }
  [[nodiscard]] bool AnyExpiredBy(int64_t cutoff_ms) const { return expiring_ > 0 && min_ms_ <= cutoff_ms; }
  // At least this share of the entries has expired: exact, or less by what lies in the cell around the cutoff.
  [[nodiscard]] double ShareExpiredBy(int64_t cutoff_ms) const;

  [[nodiscard]] std::string Encode() const;
  static bool Decode(std::string_view bytes, ExpiryHistogram* histogram);

 private:
  void Widen();

  uint64_t entries_ = 0;
  uint64_t expiring_ = 0;
  int64_t min_ms_ = 0;
  int64_t max_ms_ = 0;
  int64_t width_ms_ = kFirstWidthMs;
  std::map<int64_t, uint64_t> cells_;  // time / width_ms_ -> entries
};

// The name of the user property of a table file that holds its encoded histogram.
inline constexpr const char* kExpiryProperty = "oncegate.expiry";

// Writes the histogram of each new table file. Overwritten and deleted entries are not counted.
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewExpiryCollectorFactory(ExpiresAtFunction expires_at);

}  // namespace oncegate::store

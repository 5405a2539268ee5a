#pragma once

#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "store/database.h"

namespace oncegate::store {

// Numbers for the types of records, so that the index of expiry times stays small. Types come from senders, so their
// number is bounded: what comes after kTypesMax shares kOtherTypes in the statistics (records keep their own name).
// Thread-safe.
class TypeDictionary {
 public:
  static constexpr uint32_t kOtherTypes = 0;
  static constexpr size_t kTypesMax = 4096;

  explicit TypeDictionary(Database& database) : database_(database) {}

  // Reads what is stored. To be called once, before anything else.
  Status Load();

  // The number of a type, which is stored before it is given out for the first time.
  Result<uint32_t> IdFor(const std::string& name);
  // Nothing if no record has had the type, or if it shares kOtherTypes.
  [[nodiscard]] std::optional<uint32_t> Find(const std::string& name) const;
  [[nodiscard]] std::string NameOf(uint32_t id) const;

 private:
  Database& database_;
  mutable std::shared_mutex mu_;
  // Guarded by mu_.
  std::unordered_map<std::string, uint32_t> ids_;
  std::unordered_map<uint32_t, std::string> names_;
};

}  // namespace oncegate::store

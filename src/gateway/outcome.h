#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/error.h"

namespace oncegate {

// How a request was answered: the value of Oncegate-Outcome, and the name under which it is counted. The first ones are
// answers by the application (now or earlier); the rest are the error codes.
class Outcome {
 public:
  enum Kind : uint8_t { kExecuted, kReplayed, kUnkeyed, kPassed, kUnprotected, kKinds };

  constexpr Outcome(Kind kind) : index_(kind) {}  // NOLINT(google-explicit-constructor): reads as a value
  constexpr Outcome(http::ErrorCode code)         // NOLINT(google-explicit-constructor)
      : index_(static_cast<uint8_t>(kKinds + static_cast<uint8_t>(code))) {}

  [[nodiscard]] std::string_view name() const;
  // The same as it stands in statistics, metrics and events: with '_' for '-'.
  [[nodiscard]] std::string label() const;
  [[nodiscard]] constexpr size_t index() const { return index_; }
  static constexpr size_t kCount = kKinds + static_cast<size_t>(http::ErrorCode::kCount);
  static constexpr Outcome FromIndex(size_t index) { return Outcome(index); }

 private:
  explicit constexpr Outcome(size_t index) : index_(static_cast<uint8_t>(index)) {}
  uint8_t index_;
};

}  // namespace oncegate

#include "gateway/outcome.h"

#include <algorithm>

namespace oncegate {

std::string_view Outcome::name() const {
  switch (index_) {
    case kExecuted:
      return "executed";
    case kReplayed:
      return "replayed";
    case kUnkeyed:
      return "unkeyed";
    case kPassed:
      return "passed";
    case kUnprotected:
      return "unprotected";
    default:
      return http::ErrorName(static_cast<http::ErrorCode>(index_ - kKinds));
  }
}

std::string Outcome::label() const {
  std::string label(name());
  std::replace(label.begin(), label.end(), '-', '_');
  return label;
}

}  // namespace oncegate

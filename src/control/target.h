#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace oncegate::control {

// A request target taken apart before anything is decoded, so that an encoded '/' or '&' stays part of what it is in.
struct Target {
  std::vector<std::string> segments;                       // "/v1/records" is {"v1", "records"}
  std::vector<std::pair<std::string, std::string>> query;  // in order; '+' is a space here, as in forms

  // The value of a parameter; nothing if it is absent.
  [[nodiscard]] std::optional<std::string> Find(std::string_view name) const;
};

// InvalidArgument for a target that is not a path, for '%' without two hexadecimal digits, for a parameter without a
// name, and for one that is repeated.
Result<Target> ParseTarget(std::string_view raw);

// Everything but RFC 3986's unreserved characters as %XX: safe in a segment and in a query, read back by ParseTarget.
std::string PercentEncode(std::string_view text);

}  // namespace oncegate::control

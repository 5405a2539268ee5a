#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace oncegate::cli {

// Where the values of flags come from: the command line, environment variables, a file.
struct FlagSources {
  // By name without dashes; a flag that was not given has no entry.
  std::map<std::string, std::vector<std::string>, std::less<>> command_line;
  // The value of an environment variable, or null.
  std::function<const char*(const char*)> variable;
};

// The values of one flag, and how the place that they come from is called ("--ttl", "ONCEGATE_TTL", "once.toml: ttl").
struct GivenFlag {
  std::vector<std::string> values;
  std::string origin;
};

// A flag that can be given.
struct KnownFlag {
  std::string_view name;
  bool repeatable = false;
};

using GivenFlags = std::map<std::string, GivenFlag, std::less<>>;

// "ONCEGATE_" and the name in upper snake case.
std::string VariableName(std::string_view flag);

// For each flag the values of the strongest source: command line, then variable (several values divided by commas),
// then the file that --config or ONCEGATE_CONFIG names, in CLI11's format, with or without a [serve] section.
// InvalidArgument for a file that cannot be read or names an unknown flag, and for several values of a flag that takes
// one.
Result<GivenFlags> MergeFlags(const FlagSources& sources, const std::vector<KnownFlag>& known);

}  // namespace oncegate::cli

#pragma once

#include <array>
#include <string>
#include <string_view>

namespace oncegate::cli {

class CommandLine;

// Which records a command is about: flags under the names of the API's parameters. The API checks their values.
class RecordFilters {
 public:
  // --scope, --type, --state, --prefix, --label. Outlives the parsing.
  void AddTo(CommandLine& line);
  // "scope=a&type=b", encoded; empty if none was given.
  [[nodiscard]] std::string Query() const;

 private:
  struct Filter {
    std::string_view name;
    std::string_view value;
    std::string_view help;
  };
  static const std::array<Filter, 5> kFilters;
  std::array<std::string, 5> values_;
};

}  // namespace oncegate::cli

#pragma once

#include <array>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace oncegate::cli {

// Which records a command is about: flags under the names of the API's parameters. The API checks their values.
class RecordFilters {
 public:
  // --scope, --type, --state, --prefix, --label. Outlives the App's parsing.
  void AddTo(CLI::App& app);
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

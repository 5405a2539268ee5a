#include "cli/record_filters.h"

#include "cli/command_line.h"
#include "control/target.h"

namespace oncegate::cli {

const std::array<RecordFilters::Filter, 5> RecordFilters::kFilters = {{
    {"scope", "NAME", "Only this scope"},
    {"type", "VALUE", "Only this type"},
    {"state", "STATE", "Only in_progress, completed or unknown ones"},
    {"prefix", "TEXT", "Only keys that begin with this"},
    {"label", "NAME=VALUE", "Only records with this label"},
}};

void RecordFilters::AddTo(CommandLine& line) {
  for (size_t i = 0; i < kFilters.size(); ++i) {
    line.Text("--" + std::string(kFilters[i].name), std::string(kFilters[i].value), &values_[i],
              std::string(kFilters[i].help));
  }
}

std::string RecordFilters::Query() const {
  std::string query;
  for (size_t i = 0; i < kFilters.size(); ++i) {
    if (values_[i].empty()) continue;
    if (!query.empty()) query.push_back('&');
    std::string value = values_[i];
    // As --label of serve has it; the API divides with ':', which no name has, and so may people.
    const size_t mark = value.find_first_of(":=");
    if (kFilters[i].name == "label" && mark != std::string::npos) value[mark] = ':';
    query.append(kFilters[i].name).append("=").append(control::PercentEncode(value));
  }
  return query;
}

}  // namespace oncegate::cli

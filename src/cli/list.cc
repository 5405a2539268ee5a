#include <CLI/CLI.hpp>
#include <array>
#include <string_view>
#include <utility>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"
#include "cli/tables.h"
#include "control/target.h"

namespace oncegate::cli {
namespace {

// The flags of `list` are the parameters of the API under the same names, and the API checks their values.
struct Filter {
  std::string_view name;
  std::string_view value;
  std::string_view help;
};

constexpr std::array<Filter, 7> kFilters = {{
    {"scope", "NAME", "Only this scope"},
    {"type", "VALUE", "Only this type"},
    {"state", "STATE", "Only in_progress, completed or unknown ones"},
    {"prefix", "TEXT", "Only keys that begin with this"},
    {"label", "NAME:VALUE", "Only records with this label"},
    {"limit", "N", "At most so many, 1 to 1000; 50 by default"},
    {"cursor", "CURSOR", "Go on where an earlier page ended"},
}};

}  // namespace

int RunList(const Arguments& arguments, const Console& console) {
  CLI::App app("Lists records, newest first.", "oncegate list");
  ClientFlags flags;
  std::array<std::string, kFilters.size()> values;
  for (size_t i = 0; i < kFilters.size(); ++i) {
    app.add_option("--" + std::string(kFilters[i].name), values[i], std::string(kFilters[i].help))
        ->type_name(std::string(kFilters[i].value));
  }
  flags.AddTo(app, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;

  std::string target = "/v1/records";
  char divider = '?';
  for (size_t i = 0; i < kFilters.size(); ++i) {
    if (values[i].empty()) continue;
    target.append(1, std::exchange(divider, '&')).append(kFilters[i].name).append("=");
    target.append(control::PercentEncode(values[i]));
  }
  return AskAndPrint(flags, {.target = target, .not_found = {}, .render = RecordsText}, console);
}

}  // namespace oncegate::cli

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"
#include "cli/record_filters.h"
#include "cli/tables.h"
#include "control/target.h"

namespace oncegate::cli {

int RunList(const Arguments& arguments, const Console& console) {
  CLI::App app("Lists records, newest first.", "oncegate list");
  ClientFlags flags;
  RecordFilters filters;
  std::string limit;
  std::string cursor;
  filters.AddTo(app);
  app.add_option("--limit", limit, "At most so many, 1 to 1000; 50 by default")->type_name("N");
  app.add_option("--cursor", cursor, "Go on where an earlier page ended")->type_name("CURSOR");
  flags.AddTo(app, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;

  std::string target = "/v1/records?" + filters.Query();
  if (!limit.empty()) target.append("&limit=").append(control::PercentEncode(limit));
  if (!cursor.empty()) target.append("&cursor=").append(control::PercentEncode(cursor));
  return AskAndPrint(flags, {.target = target, .not_found = {}, .render = RecordsText}, console);
}

}  // namespace oncegate::cli

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/record_filters.h"
#include "cli/tables.h"
#include "control/target.h"

namespace oncegate::cli {

int RunList(const Arguments& arguments, const Console& console) {
  CommandLine line("Lists records, newest first.", "oncegate list");
  ClientFlags flags;
  RecordFilters filters;
  std::string limit;
  std::string cursor;
  filters.AddTo(line);
  line.Text("--limit", "N", &limit, "At most so many, 1 to 1000; 50 by default");
  line.Text("--cursor", "CURSOR", &cursor, "Go on where an earlier page ended");
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;

  std::string target = "/v1/records?" + filters.Query();
  if (!limit.empty()) target.append("&limit=").append(control::PercentEncode(limit));
  if (!cursor.empty()) target.append("&cursor=").append(control::PercentEncode(cursor));
  return AskAndPrint(flags,
                     {.target = target,
                      .not_found = {},
                      .render = [](const std::string& json) { return RecordsText(json, ColoursOfOutput()); }},
                     console);
}

}  // namespace oncegate::cli

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/tables.h"

namespace oncegate::cli {

int RunStats(const Arguments& arguments, const Console& console) {
  CommandLine line("Shows statistics.", "oncegate stats");
  ClientFlags flags;
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(flags, {.target = "/v1/stats", .not_found = {}, .render = StatsText}, console);
}

}  // namespace oncegate::cli

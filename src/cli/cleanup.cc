#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/tables.h"

namespace oncegate::cli {

int RunCleanup(const Arguments& arguments, const Console& console) {
  CommandLine line("Removes expired records now.", "oncegate cleanup");
  ClientFlags flags;
  flags.AddTo(line, ClientFlags::Source::kServer);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(
      flags,
      {.method = "POST", .target = "/v1/cleanup", .not_found = {}, .progress = "cleaning up", .render = CleanupText},
      console);
}

}  // namespace oncegate::cli

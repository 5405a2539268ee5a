#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"
#include "cli/tables.h"

namespace oncegate::cli {

int RunCleanup(const Arguments& arguments, const Console& console) {
  CLI::App app("Removes expired records now.", "oncegate cleanup");
  ClientFlags flags;
  flags.AddTo(app, ClientFlags::Source::kServer);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;
  return AskAndPrint(flags, {.method = "POST", .target = "/v1/cleanup", .not_found = {}, .render = CleanupText},
                     console);
}

}  // namespace oncegate::cli

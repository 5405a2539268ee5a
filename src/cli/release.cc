#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"

namespace oncegate::cli {

int RunRelease(const Arguments& arguments, const Console& console) {
  CommandLine line("Forgets a key: the next delivery is executed again.", "oncegate release");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  bool force = false;
  line.Argument("KEY", &key, "The idempotency key");
  line.Text("--scope", "NAME", &scope, "The key's scope");
  line.Switch("--force", &force, "Release it even while it is being executed");
  flags.AddTo(line, ClientFlags::Source::kServer);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(flags,
                     {.method = "DELETE",
                      .target = RecordTarget(scope, key) + (force ? "?force=true" : ""),
                      .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
                      .render = [&key](const std::string&) { return Result<std::string>("released " + key + "\n"); }},
                     console);
}

}  // namespace oncegate::cli

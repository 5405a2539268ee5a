#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/tables.h"

namespace oncegate::cli {

int RunGet(const Arguments& arguments, const Console& console) {
  CommandLine line("Shows one record, with request and response.", "oncegate get");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  line.Argument("KEY", &key, "The idempotency key");
  line.Text("--scope", "NAME", &scope, "The key's scope");
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(flags,
                     {.target = RecordTarget(scope, key),
                      .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
                      .render = [](const std::string& json) { return RecordText(json, ColoursOfOutput()); }},
                     console);
}

}  // namespace oncegate::cli

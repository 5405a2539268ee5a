#include <simdjson.h>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"

namespace oncegate::cli {
namespace {

Result<std::string> RedeliveryText(const std::string& key, const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  int64_t status = 0;
  if (parser.parse(json).get(answer) != simdjson::SUCCESS || answer["status"].get(status) != simdjson::SUCCESS)
    return Internal("the server's answer cannot be read");
  std::string_view state;
  if (answer["state"].get(state) != simdjson::SUCCESS) state = "forgotten";
  return "redelivered " + key + ": the application answered " + std::to_string(status) + ", the key is " +
         std::string(state) + "\n";
}

}  // namespace

int RunRedeliver(const Arguments& arguments, const Console& console) {
  CommandLine line("Sends the stored request of a key to the application again and stores the new outcome.",
                   "oncegate redeliver");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  bool force = false;
  line.Argument("KEY", &key, "The idempotency key");
  line.Text("--scope", "NAME", &scope, "The key's scope");
  line.Switch("--force", &force, "Also a key whose outcome is known");
  flags.AddTo(line, ClientFlags::Source::kServer);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(flags,
                     {.method = "POST",
                      .target = RecordTarget(scope, key) + "/redeliver" + (force ? "?force=true" : ""),
                      .body = {},
                      .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
                      .render = [&key](const std::string& json) { return RedeliveryText(key, json); },
                      .examine = {}},
                     console);
}

}  // namespace oncegate::cli

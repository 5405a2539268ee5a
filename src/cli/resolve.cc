#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"

namespace oncegate::cli {

int RunResolve(const Arguments& arguments, const Console& console) {
  CommandLine line("Settles a key of which nobody knows whether its request took effect.", "oncegate resolve");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  std::string as;
  line.Argument("KEY", &key, "The idempotency key");
  line.Choice("--as", &as, {"completed", "released"},
              "completed: retries get an empty 200; released: the next delivery is executed",
              CommandLine::Need::kRequired);
  line.Text("--scope", "NAME", &scope, "The key's scope");
  flags.AddTo(line, ClientFlags::Source::kServer);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return AskAndPrint(
      flags,
      {.method = "POST",
       .target = RecordTarget(scope, key) + "/resolve",
       .body = R"({"as":")" + as + "\"}",
       .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
       .render = [&](const std::string&) { return Result<std::string>("resolved " + key + " as " + as + "\n"); },
       .examine = {}},
      console);
}

}  // namespace oncegate::cli

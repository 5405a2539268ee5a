#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"

namespace oncegate::cli {

int RunResolve(const Arguments& arguments, const Console& console) {
  CLI::App app("Settles a key of which nobody knows whether its request took effect.", "oncegate resolve");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  std::string as;
  app.add_option("KEY", key, "The idempotency key")->required();
  app.add_option("--as", as, "completed: retries get an empty 200; released: the next delivery is executed")
      ->required()
      ->check(CLI::IsMember({"completed", "released"}));
  app.add_option("--scope", scope, "The key's scope")->type_name("NAME")->capture_default_str();
  flags.AddTo(app, ClientFlags::Source::kServer);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;
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

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"

namespace oncegate::cli {

int RunRelease(const Arguments& arguments, const Console& console) {
  CLI::App app("Forgets a key: the next delivery is executed again.", "oncegate release");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  bool force = false;
  app.add_option("KEY", key, "The idempotency key")->required();
  app.add_option("--scope", scope, "The key's scope")->type_name("NAME")->capture_default_str();
  app.add_flag("--force", force, "Release it even while it is being executed");
  flags.AddTo(app, ClientFlags::Source::kServer);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;
  return AskAndPrint(flags,
                     {.method = "DELETE",
                      .target = RecordTarget(scope, key) + (force ? "?force=true" : ""),
                      .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
                      .render = [&key](const std::string&) { return Result<std::string>("released " + key + "\n"); }},
                     console);
}

}  // namespace oncegate::cli

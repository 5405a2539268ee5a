#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/control_client.h"
#include "cli/tables.h"

namespace oncegate::cli {

int RunGet(const Arguments& arguments, const Console& console) {
  CLI::App app("Shows one record, with request and response.", "oncegate get");
  ClientFlags flags;
  std::string key;
  std::string scope = "default";
  app.add_option("KEY", key, "The idempotency key")->required();
  app.add_option("--scope", scope, "The key's scope")->type_name("NAME")->capture_default_str();
  flags.AddTo(app, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = Parse(app, arguments, console)) return *exit_code;
  return AskAndPrint(flags,
                     {.target = RecordTarget(scope, key),
                      .not_found = "there is no record of key '" + key + "' in scope '" + scope + "'",
                      .render = RecordText},
                     console);
}

}  // namespace oncegate::cli

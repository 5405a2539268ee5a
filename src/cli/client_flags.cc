#include "cli/client_flags.h"

#include <CLI/CLI.hpp>

namespace oncegate::cli {

void ClientFlags::AddTo(CLI::App& app) {
  app.add_option("--control", control, "The control listener of the server")
      ->type_name("URL")
      ->envname("ONCEGATE_CONTROL")
      ->capture_default_str();
  app.add_option("--control-token-file", token_file, "Its first token is shown to the server")
      ->type_name("FILE")
      ->envname("ONCEGATE_CONTROL_TOKEN_FILE");
  app.add_flag("--json", json, "Print the JSON of the control API");
}

void ClientFlags::AddDataDirTo(CLI::App& app) {
  app.add_option("--data-dir", data_dir, "Read this store; for when no server runs")->type_name("DIR");
}

}  // namespace oncegate::cli

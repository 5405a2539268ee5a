#include "cli/client_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace oncegate::cli {
namespace {

// By hand and not by CLI11, for which a variable is as good as a flag: one that names a server would then keep
// --data-dir from being used.
void ReadVariable(const char* name, const CLI::Option& flag, std::string* value) {
  const char* text = std::getenv(name);
  if (flag.count() == 0 && text != nullptr && *text != '\0') *value = text;
}

}  // namespace

void ClientFlags::AddTo(CLI::App& app, Source source) {
  CLI::Option* url = app.add_option("--control", control, "The control listener of the server; or ONCEGATE_CONTROL");
  url->type_name("URL")->capture_default_str();
  CLI::Option* file = app.add_option("--control-token-file", token_file,
                                     "Its first token is shown to the server; or ONCEGATE_CONTROL_TOKEN_FILE");
  file->type_name("FILE");
  if (source == Source::kServerOrDirectory) {
    app.add_option("--data-dir", data_dir, "Read this store; for when no server runs")->type_name("DIR")->excludes(url);
  }
  app.add_flag("--json", json, "Print the JSON of the control API");
  app.final_callback([this, url, file] {
    ReadVariable("ONCEGATE_CONTROL", *url, &control);
    ReadVariable("ONCEGATE_CONTROL_TOKEN_FILE", *file, &token_file);
  });
}

}  // namespace oncegate::cli

#include "cli/client_flags.h"

#include <cstdlib>

#include "cli/command_line.h"

namespace oncegate::cli {
namespace {

constexpr const char* kControl = "--control";
constexpr const char* kTokenFile = "--control-token-file";
constexpr const char* kDataDir = "--data-dir";

// A variable is not as good as a flag: one that names a server would then keep --data-dir from being used.
void ReadVariable(const char* name, bool given, std::string* value) {
  const char* text = std::getenv(name);
  if (!given && text != nullptr && *text != '\0') *value = text;
}

}  // namespace

void ClientFlags::AddTo(CommandLine& line, Source source) {
  line.Text(kControl, "URL", &control, "The control listener of the server; or ONCEGATE_CONTROL");
  line.Text(kTokenFile, "FILE", &token_file, "Its first token is shown to the server; or ONCEGATE_CONTROL_TOKEN_FILE");
  if (source == Source::kServerOrDirectory) {
    line.Text(kDataDir, "DIR", &data_dir, "Read this store; for when no server runs");
    line.Exclude(kDataDir, kControl);
  }
  line.Switch("--json", &json, "Print the JSON of the control API");
  line.OnParsed([this, &line] {
    ReadVariable("ONCEGATE_CONTROL", line.Given(kControl), &control);
    ReadVariable("ONCEGATE_CONTROL_TOKEN_FILE", line.Given(kTokenFile), &token_file);
  });
}

}  // namespace oncegate::cli

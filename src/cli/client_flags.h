#pragma once

#include <string>

namespace oncegate::cli {

class CommandLine;

// Flags that the commands which talk to a server share. Outlives the command line that it is added to.
struct ClientFlags {
  enum class Source { kServer, kServerOrDirectory };

  std::string control = "http://127.0.0.1:8081";
  std::string token_file;
  std::string data_dir;  // not empty: no server runs, this directory is looked at
  bool json = false;

  // --control and --control-token-file (variables ONCEGATE_CONTROL and ONCEGATE_CONTROL_TOKEN_FILE), --json, and
  // --data-dir for those commands that can do without a server.
  void AddTo(CommandLine& line, Source source);
};

}  // namespace oncegate::cli

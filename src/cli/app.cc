#include "cli/app.h"

#include <algorithm>
#include <ostream>

namespace oncegate::cli {
namespace {

constexpr CommandInfo kCommands[] = {
    {"serve", "", "run the gateway and the control listener", RunServe},
    {"get", "KEY", "show one record", RunGet},
    {"list", "", "list records, newest first", RunList},
    {"stats", "", "show statistics", RunStats},
    {"release", "KEY", "forget a key: the next delivery is executed again", RunRelease},
    {"resolve", "KEY", "settle a key whose outcome is unknown", RunResolve},
    {"redeliver", "KEY", "send a key's request to the application again", RunRedeliver},
    {"cleanup", "", "remove expired records now", RunCleanup},
    {"backup", "DIR", "back up the store while it is in use", RunBackup},
    {"restore", "DIR", "make a store of a backup", RunRestore},
    {"verify", "", "check the store and its indexes", RunVerify},
    {"export", "", "print records as lines of JSON", RunExport},
    {"import", "FILE", "take over records from lines of JSON", RunImport},
    {"providers", "[NAME]", "list the built-in provider profiles, or show one", RunProviders},
    {"check", "[FILE]", "say what a saved webhook request's key is and whether its signature holds", RunCheck},
    {"completion", "SHELL", "print completions for bash, zsh or fish", RunCompletion},
    {"version", "", "show version, build and library versions", RunVersion},
};

void PrintHelp(std::ostream& out) {
  constexpr size_t kColumn = 20;
  out << "oncegate lets every webhook take effect once.\n\nUsage: oncegate COMMAND [FLAGS]\n\nCommands:\n";
  for (const CommandInfo& command : kCommands) {
    std::string title(command.name);
    if (!command.arguments.empty()) title.append(" ").append(command.arguments);
    title.resize(std::max(title.size() + 1, kColumn), ' ');
    out << "  " << title << command.help << "\n";
  }
  out << "\n'oncegate COMMAND --help' shows the flags of a command.\n";
}

}  // namespace

std::span<const CommandInfo> Commands() {
  return kCommands;
}

int Fail(const Console& console, int exit_code, std::string_view message) {
  console.err << "oncegate: " << message << "\n" << std::flush;
  return exit_code;
}

int Run(const Arguments& arguments, const Console& console) {
  if (arguments.empty()) {
    PrintHelp(console.err);
    return kExitUsage;
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp(console.out);
    return kExitOk;
  }
  if (name == "--version") return RunVersion({}, console);
  for (const CommandInfo& command : kCommands) {
    if (command.name != name) continue;
    try {
      return command.run(Arguments(arguments.begin() + 1, arguments.end()), console);
    } catch (const std::exception& error) {
      return Fail(console, kExitFailed, error.what());
    }
  }
  return Fail(console, kExitUsage, "'" + name + "' is no command; see 'oncegate --help'");
}

}  // namespace oncegate::cli

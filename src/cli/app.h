#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oncegate::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // what was asked for could not be done
inline constexpr int kExitUsage = 2;   // what was asked for makes no sense

// Where a command writes.
struct Console {
  std::ostream& out;
  std::ostream& err;
};

using Arguments = std::vector<std::string>;

// Runs `oncegate <arguments>`; the exit code of the process.
int Run(const Arguments& arguments, const Console& console);

// The commands, in the order of the help.
struct CommandInfo {
  std::string_view name;
  std::string_view arguments;
  std::string_view help;
  int (*run)(const Arguments&, const Console&);
};
std::span<const CommandInfo> Commands();

// One line on standard error; returns `exit_code`.
int Fail(const Console& console, int exit_code, std::string_view message);

// The commands, one small file each. `arguments` come after the command's name.
int RunServe(const Arguments& arguments, const Console& console);
int RunGet(const Arguments& arguments, const Console& console);
int RunList(const Arguments& arguments, const Console& console);
int RunStats(const Arguments& arguments, const Console& console);
int RunRelease(const Arguments& arguments, const Console& console);
int RunResolve(const Arguments& arguments, const Console& console);
int RunRedeliver(const Arguments& arguments, const Console& console);
int RunCleanup(const Arguments& arguments, const Console& console);
int RunBackup(const Arguments& arguments, const Console& console);
int RunRestore(const Arguments& arguments, const Console& console);
int RunVerify(const Arguments& arguments, const Console& console);
int RunExport(const Arguments& arguments, const Console& console);
int RunImport(const Arguments& arguments, const Console& console);
int RunProviders(const Arguments& arguments, const Console& console);
int RunCheck(const Arguments& arguments, const Console& console);
int RunCompletion(const Arguments& arguments, const Console& console);
int RunVersion(const Arguments& arguments, const Console& console);

}  // namespace oncegate::cli

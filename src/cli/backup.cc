#include "store/backup.h"

#include <filesystem>
#include <optional>
#include <ostream>

#include "base/clock.h"
#include "base/log.h"
#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/tables.h"
#include "cli/terminal.h"
#include "control/json_writer.h"
#include "control/maintenance.h"

namespace oncegate::cli {
namespace {

int BackUpWithoutServer(const ClientFlags& flags, const std::string& directory, uint32_t keep, const Console& console) {
  const SystemClock clock;
  Logger logger(LogFormat::kText, LogLevel::kError);
  RocksDbStoreOptions options;
  options.directory = flags.data_dir;
  std::optional<Progress> progress(std::in_place, console, "backing up");
  const Result<BackupReport> report = BackUpDirectory(options, directory, keep, clock, logger);
  progress.reset();
  if (!report.ok()) return Fail(console, kExitFailed, report.status().message());
  const std::string json = control::BackupJson(*report);
  console.out << (flags.json ? json + "\n" : *BackupText(json)) << std::flush;
  return kExitOk;
}

}  // namespace

int RunBackup(const Arguments& arguments, const Console& console) {
  CommandLine line("Makes a backup of the store, while it is in use; copies only what earlier ones do not have.",
                   "oncegate backup");
  ClientFlags flags;
  std::string directory;
  uint32_t keep = 0;
  line.Argument("DIR", &directory, "Where backups are kept, on the server's machine; created if absent");
  line.Number("--keep", "N", &keep, "Keep only so many of the newest; 0: all");
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  // The server may stand in another directory.
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(directory, error).lexically_normal().string();
  if (error) return Fail(console, kExitUsage, "'" + directory + "' is not the path of a directory");
  if (!flags.data_dir.empty()) return BackUpWithoutServer(flags, absolute, keep, console);
  control::JsonWriter body;
  body.BeginObject().Name("dir").String(absolute).Name("keep").Uint(keep).EndObject();
  return AskAndPrint(flags,
                     {.method = "POST",
                      .target = "/v1/backups",
                      .body = body.Take(),
                      .not_found = {},
                      .progress = "backing up",
                      .render = BackupText},
                     console);
}

int RunRestore(const Arguments& arguments, const Console& console) {
  CommandLine line(
      "Makes a store of a backup. What was claimed since is forgotten, so that 'serve' asks for --restored.",
      "oncegate restore");
  RestoreRequest request;
  request.directory = "./oncegate-data";
  line.Argument("DIR", &request.backups, "Where backups are kept");
  line.Text("--data-dir", "DIR", &request.directory, "The new store; created if absent, otherwise empty");
  line.Number("--id", "N", &request.id, "Which backup; 0: the latest");
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  const SystemClock clock;
  Logger logger(LogFormat::kText, LogLevel::kError);
  std::optional<Progress> progress(std::in_place, console, "restoring");
  const Result<RestoreReport> report = RestoreBackup(request, clock, logger);
  progress.reset();
  if (!report.ok()) return Fail(console, kExitFailed, report.status().message());
  console.out << RestoreText(*report, request.directory) << std::flush;
  return kExitOk;
}

int RunVerify(const Arguments& arguments, const Console& console) {
  CommandLine line("Compares records, indexes and bodies with each other, and says what differs.", "oncegate verify");
  ClientFlags flags;
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  bool sound = false;
  const int exit_code = AskAndPrint(flags,
                                    {.method = "POST",
                                     .target = "/v1/verify",
                                     .not_found = {},
                                     .progress = "verifying",
                                     .render = VerifyText,
                                     .examine = [&sound](const std::string& json) { sound = IsSound(json); }},
                                    console);
  return exit_code == kExitOk && !sound ? kExitFailed : exit_code;
}

}  // namespace oncegate::cli

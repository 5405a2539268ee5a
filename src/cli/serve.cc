#include <malloc.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ostream>

#include "cli/app.h"
#include "cli/serve_flags.h"
#include "cli/server.h"
#include "cli/version.h"

namespace oncegate::cli {
namespace {

// Files of the store, connections to the application, and what else a process opens besides its clients.
constexpr size_t kOtherDescriptors = 512;

constexpr std::string_view kFooter =
    "Every flag can also stand in the file that --config names (key-header = [\"A\", \"B\"]) and in an environment\n"
    "variable (--key-header is ONCEGATE_KEY_HEADER; several values are divided by commas). Flags beat variables,\n"
    "variables beat the file. SIGHUP rereads policies, tokens and certificates, SIGTERM drains and ends.";

// What the command line gives: one list of values a flag.
class CommandLine {
 public:
  CommandLine() : app_("Runs the gateway and the control listener.", "oncegate serve") {
    app_.footer(std::string(kFooter));
    app_.get_formatter()->column_width(44);
    Add("config", "Configuration", "FILE", "", "Reads flags from this file");
    for (const ServeFlag& flag : ServeFlags()) Add(flag.name, flag.group, flag.value, flag.default_text, flag.help);
  }

  CLI::App& app() { return app_; }

  [[nodiscard]] FlagSources Sources() const {
    FlagSources sources;
    sources.variable = [](const char* name) -> const char* { return std::getenv(name); };
    for (const CLI::Option* option : app_.get_options()) {
      const std::string name = option->get_single_name();
      if (option->count() > 0 && name != "help") sources.command_line[name] = option->results();
    }
    return sources;
  }

 private:
  void Add(std::string_view name, std::string_view group, std::string_view value, std::string_view default_text,
           std::string_view help) {
    // A callback that accepts everything: the table's readers say what is wrong with a value.
    CLI::Option* option = app_.add_option(
        "--" + std::string(name), [](const CLI::results_t&) { return true; }, std::string(help));
    option->type_name(std::string(value))->group(std::string(group))->expected(1)->take_all();
    option->default_str(std::string(default_text));
  }

  CLI::App app_;
};

void RaiseDescriptorLimit(size_t connections, Logger& logger) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= connections + kOtherDescriptors) return;
  logger.Log(LogLevel::kWarn, LogEvent::kWarning, "fewer file descriptors than --max-connections needs",
             {{"limit", static_cast<int64_t>(limit.rlim_cur)},
              {"wanted", static_cast<int64_t>(connections + kOtherDescriptors)}});
}

// glibc gives every thread a heap of its own, eight a core, and keeps large blocks that it has once seen freed: with a
// hundred threads and a cache that changes all the time that is a hundred MiB that nobody uses (docs/scale.md).
void KeepHeapSmall() {
  constexpr int kHeapsMax = 2;
  constexpr int kMappedBytesMin = 256 << 10;  // memtables, for one, go back to the kernel at once
  mallopt(M_ARENA_MAX, kHeapsMax);
  mallopt(M_MMAP_THRESHOLD, kMappedBytesMin);
}

sigset_t ServeSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

void Reload(Server& server, const FlagSources& sources, Logger& logger) {
  const Result<ServeOptions> fresh = ReadServeOptions(sources);
  if (!fresh.ok()) {
    logger.Log(LogLevel::kError, LogEvent::kError, "error in idempotency configuration, the old one stays in force",
               {{"reason", fresh.status().message()}});
    return;
  }
  for (const std::string& warning : fresh->warnings) logger.Log(LogLevel::kWarn, LogEvent::kWarning, warning);
  server.Reload(*fresh);
}

void Announce(const ServeOptions& options, const Server& server, const Console& console, Logger& logger) {
  for (const std::string& address : server.gateway_addresses()) console.out << "listening gateway " << address << "\n";
  console.out << "listening control " << server.control_address() << "\n" << std::flush;
  logger.Log(LogLevel::kInfo, LogEvent::kStarted, "started",
             {{"version", Version()},
              {"upstream", options.upstream ? std::string_view(options.upstream->authority) : "none"},
              {"data_dir", options.store.directory},
              {"dedupe", options.route.dedupe ? "on" : "off"}});
}

// Returns when the process is to end. Signals are taken here and nowhere else: all threads have them blocked.
void WaitForEnd(Server& server, const FlagSources& sources, Logger& logger) {
  const sigset_t signals = ServeSignals();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) return;
    Reload(server, sources, logger);
  }
}

// From now on SIGTERM and SIGINT do what they do by default: whoever asks a second time wants an end at once. What was
// in flight is found unknown at the next start.
void LetSignalsKill() {
  sigset_t signals = ServeSignals();
  sigdelset(&signals, SIGHUP);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace

int RunServe(const Arguments& arguments, const Console& console) {
  CommandLine command_line;
  if (const auto exit_code = Parse(command_line.app(), arguments, console)) return *exit_code;
  const FlagSources sources = command_line.Sources();
  const Result<ServeOptions> options = ReadServeOptions(sources);
  if (!options.ok()) return Fail(console, kExitUsage, options.status().message());

  KeepHeapSmall();
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = ServeSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before the first thread, so that all inherit it
  const SystemClock clock;
  Logger logger(options->log_format, options->log_level);
  for (const std::string& warning : options->warnings) logger.Log(LogLevel::kWarn, LogEvent::kWarning, warning);
  RaiseDescriptorLimit(options->ingress.max_connections, logger);

  Result<std::unique_ptr<Server>> server = Server::Start(*options, clock, logger);
  if (!server.ok()) return Fail(console, kExitFailed, server.status().message());
  Announce(*options, **server, console, logger);
  WaitForEnd(**server, sources, logger);
  LetSignalsKill();
  (*server)->Drain();
  return kExitOk;
}

}  // namespace oncegate::cli

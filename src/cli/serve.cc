#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <ostream>

#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/config_text.h"
#include "cli/serve_flags.h"
#include "cli/server.h"
#include "cli/service_manager.h"
#include "cli/version.h"

namespace oncegate::cli {
namespace {

// Files of the store, connections to the application, and what else a process opens besides its clients.
constexpr size_t kOtherDescriptors = 512;

// Beside --drain-timeout: flushing the store and letting go of the last clients.
constexpr int64_t kStopMs = 60'000;

constexpr std::string_view kServing = "answering requests";

constexpr std::string_view kFooter =
    "Every flag can also stand in the file that --config names (key-header = [\"A\", \"B\"]) and in an environment\n"
    "variable (--key-header is ONCEGATE_KEY_HEADER; several values are divided by commas). Flags beat variables,\n"
    "variables beat the file. SIGHUP rereads routes, policies, secrets, tokens and certificates, SIGTERM drains and "
    "ends.";

FlagSources SourcesOf(const CommandLine& line) {
  return {.command_line = line.Collected(),
          .variable = [](const char* name) -> const char* { return std::getenv(name); }};
}

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
  // The default of 128 KiB gives the top of a heap back and fetches it again with almost every forwarded request.
  constexpr int kKeptFreeBytesMax = 4 << 20;
  mallopt(M_TRIM_THRESHOLD, kKeptFreeBytesMax);
}

sigset_t ServeSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// Of CLOCK_MONOTONIC, which is the one that systemd goes by; Clock's counts while the machine sleeps.
int64_t MonotonicUs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

void Reload(Server& server, const FlagSources& sources, Logger& logger, const ServiceManager& manager) {
  manager.Reloading(MonotonicUs());
  const Result<ServeOptions> fresh = ReadServeOptions(sources);
  Status status = fresh.status();
  if (status.ok()) {
    for (const std::string& warning : fresh->warnings) logger.Log(LogLevel::kWarn, LogEvent::kWarning, warning);
    status = server.Reload(*fresh);
  }
  if (status.ok()) return manager.Ready(kServing);
  logger.Log(LogLevel::kError, LogEvent::kError, "error in idempotency configuration, the old one stays in force",
             {{"reason", status.message()}});
  manager.Ready("the configuration cannot be used, the old one stays in force: " + status.message());
}

// For whoever is about to (re)start a server. What only a start can tell, such as an address that is taken or a store
// in use, is not looked at, so that a running server does not matter.
int CheckConfig(const ServeOptions& options, const Console& console) {
  for (const std::string& warning : options.warnings) console.err << "oncegate: warning: " << warning << "\n";
  console.out << "the configuration can be used\n" << std::flush;
  return kExitOk;
}

void Announce(const ServeOptions& options, const Server& server, const Console& console, Logger& logger) {
  for (const std::string& address : server.gateway_addresses()) console.out << "listening gateway " << address << "\n";
  console.out << "listening control " << server.control_address() << "\n" << std::flush;
  logger.Log(LogLevel::kInfo, LogEvent::kStarted, "started",
             {{"version", Version()},
              {"upstream", options.upstream ? std::string_view(options.upstream->authority) : "none"},
              {"routes", static_cast<int64_t>(options.routes.size())},
              {"data_dir", options.store.directory},
              {"dedupe", DedupeName(options.route.dedupe)}});
}

// Returns when the process is to end. Signals are taken here and nowhere else: all threads have them blocked.
void WaitForEnd(Server& server, const FlagSources& sources, Logger& logger, const ServiceManager& manager) {
  const sigset_t signals = ServeSignals();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) return;
    Reload(server, sources, logger, manager);
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
  CommandLine line("Runs the gateway and the control listener.", "oncegate serve");
  line.Footer(std::string(kFooter));
  bool check_only = false;
  line.Switch("--check-config", &check_only, "Says whether the configuration can be used, and ends");
  // The table's readers say what is wrong with a value.
  const auto add = [&line](const ServeFlag& flag) {
    line.Collect("--" + std::string(flag.name), std::string(flag.group), std::string(flag.value),
                 std::string(flag.default_text), std::string(flag.help));
  };
  add({.name = "config", .group = "Configuration", .value = "FILE", .help = "Reads flags from this file"});
  bool prints_config = false;
  line.Switch("--print-config", &prints_config, "Prints what is in force and where it comes from, and ends");
  for (const ServeFlag& flag : ServeFlags()) add(flag);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  const FlagSources sources = SourcesOf(line);
  const Result<ServeOptions> options = ReadServeOptions(sources);
  if (!options.ok()) return Fail(console, kExitUsage, options.status().message());
  if (check_only) return CheckConfig(*options, console);
  if (prints_config) {
    console.out << ConfigInForce(*options) << std::flush;
    return kExitOk;
  }

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
  const ServiceManager manager(std::getenv("NOTIFY_SOCKET"));
  manager.Ready(kServing);
  WaitForEnd(**server, sources, logger, manager);
  LetSignalsKill();
  manager.Stopping((*server)->drain_timeout_ms() + kStopMs);
  (*server)->Drain();
  return kExitOk;
}

}  // namespace oncegate::cli

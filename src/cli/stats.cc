#include <signal.h>
#include <simdjson.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <ostream>
#include <sstream>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/tables.h"
#include "cli/terminal.h"

namespace oncegate::cli {
namespace {

constexpr time_t kWatchSeconds = 1;
constexpr std::string_view kStats = "/v1/stats";

// What rates are made of.
struct Counts {
  uint64_t executed = 0;
  uint64_t replayed = 0;
};

std::optional<Counts> CountsOf(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::element stats;
  Counts counts;
  if (parser.parse(json).get(stats) != simdjson::SUCCESS ||
      stats["requests"]["executed"].get(counts.executed) != simdjson::SUCCESS ||
      stats["requests"]["replayed"].get(counts.replayed) != simdjson::SUCCESS)
    return std::nullopt;
  return counts;
}

std::string RatesText(const Counts& before, const Counts& now) {
  std::ostringstream out;
  const auto rate = [](uint64_t then, uint64_t later) { return later < then ? 0 : (later - then) / kWatchSeconds; };
  out << "executed/s  " << rate(before.executed, now.executed) << "\nreplayed/s  "
      << rate(before.replayed, now.replayed) << "\n";
  return out.str();
}

// Shows statistics every second until SIGINT or SIGTERM, which end it with success, or until the server is gone.
int Watch(const ClientFlags& flags, const Console& console) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const Result<std::unique_ptr<ControlClient>> client = ControlClient::Open(flags);
  if (!client.ok()) return FailWith(client.status(), console);
  // Not a screen but a file: one after the other.
  const bool redraws = !flags.json && isatty(STDOUT_FILENO) == 1;
  std::optional<Counts> before;
  const timespec interval{.tv_sec = kWatchSeconds, .tv_nsec = 0};
  do {
    const Result<ControlReply> reply = (*client)->Ask("GET", std::string(kStats), {});
    if (!reply.ok()) return FailWith(reply.status(), console);
    if (reply->status >= 300) return Fail(console, kExitFailed, ProblemText(reply->status, reply->body));
    const Result<std::string> text =
        flags.json ? Result<std::string>(reply->body + "\n") : StatsText(reply->body, ColoursOfOutput());
    if (!text.ok()) return FailWith(text.status(), console);
    const std::optional<Counts> now = CountsOf(reply->body);
    if (redraws) console.out << "\x1b[H\x1b[2J";
    console.out << *text;
    if (!flags.json && before && now) console.out << "\n" << RatesText(*before, *now);
    if (!flags.json && !redraws) console.out << "\n";
    if (!console.out.flush()) return Fail(console, kExitFailed, "standard output cannot be written");
    before = now;
  } while (sigtimedwait(&ends, nullptr, &interval) < 0);
  return kExitOk;
}

}  // namespace

int RunStats(const Arguments& arguments, const Console& console) {
  CommandLine line("Shows statistics.", "oncegate stats");
  ClientFlags flags;
  bool watch = false;
  line.Switch("--watch", &watch, "Every second, with rates, until Ctrl-C");
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  if (watch) return Watch(flags, console);
  return AskAndPrint(flags,
                     {.target = std::string(kStats),
                      .not_found = {},
                      .render = [](const std::string& json) { return StatsText(json, ColoursOfOutput()); }},
                     console);
}

}  // namespace oncegate::cli

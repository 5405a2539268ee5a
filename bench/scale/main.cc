// What the store costs as it grows: loads many records and measures, with the real program where that is what counts.
// docs/scale.md has results.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/scale/machine.h"
#include "bench/scale/phases.h"

int main(int argc, char** argv) {
  using namespace oncegate;  // NOLINT(google-build-using-namespace)
  scale::Plan plan;
  bool keep = false;
  bool reuse = false;
  CLI::App app("Loads many records and measures what they cost.");
  app.add_option("--records", plan.records, "How many")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--data-dir", plan.directory, "Where; must not exist. Default: a temporary directory");
  app.add_option("--threads", plan.threads, "That load")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--seconds", plan.seconds, "For each measurement")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--rate", plan.rate, "Replays a second")->capture_default_str()->check(CLI::Range(4, 1'000'000));
  app.add_option("--cleanup-ms", plan.cleanup_ms, "Between two runs of the reaper")->capture_default_str();
  app.add_option("--settle", plan.settle_s, "Seconds without a change on disk that count as settled");
  app.add_flag("--keep", keep, "Ends before anything expires, and leaves the directory there");
  app.add_flag("--reuse", reuse, "Takes a directory that --keep has left, with as many records");
  CLI11_PARSE(app, argc, argv);

  std::string temporary;
  if (plan.directory.empty()) {
    temporary = (std::filesystem::temp_directory_path() / "oncegate-scale-XXXXXX").string();
    if (mkdtemp(temporary.data()) == nullptr) scale::Die("no temporary directory");
    plan.directory = temporary + "/data";
  }
  if (std::filesystem::exists(plan.directory) != reuse)
    scale::Die(plan.directory + ": wrong for --reuse or its absence");

  std::printf("%s\n%llu records\n", scale::Machine().c_str(), static_cast<unsigned long long>(plan.records));
  Logger logger(LogFormat::kText, LogLevel::kWarn);
  if (!reuse) scale::Load(plan, logger);
  scale::ReadStore(plan, logger);
  scale::AskServer(plan);
  if (keep) return 0;
  scale::Reclaim(plan, logger);
  std::filesystem::remove_all(temporary.empty() ? plan.directory : temporary);
  return 0;
}

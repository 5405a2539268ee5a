// The real binary, killed with SIGKILL at every step of the life of a request, under load with duplicates, and started
// again on the same data. The application and the senders live in the test, and keep the books.
//
//   ONCEGATE_CRASH_KILLS=200   kills of the longest run (20); the others take a share of it; a few more follow if
//                              a step was not hit often enough
//   ONCEGATE_CRASH_SEED=N      the schedule of an earlier run, which prints its seed

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/crash/crash_run.h"
#include "tests/crash/sidecar_crash.h"

namespace oncegate {
namespace {

constexpr int kKillsDefault = 20;
constexpr int kKillsMin = 7;  // each aim once

int Kills() {
  const char* text = std::getenv("ONCEGATE_CRASH_KILLS");
  return std::max(kKillsMin, text == nullptr ? kKillsDefault : std::atoi(text));
}

uint64_t Seed() {
  const char* text = std::getenv("ONCEGATE_CRASH_SEED");
  const uint64_t seed = text == nullptr ? std::random_device()() : std::strtoull(text, nullptr, 10);
  std::printf("ONCEGATE_CRASH_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

TEST(Crash, NoKeyIsExecutedTwiceAndNoOutcomeIsLost) {
  CrashRun({.kills = Kills(), .seed = Seed(), .durability = "sync", .release_unknown = false}).Run();
}

TEST(Crash, AsynchronousWritesSurviveAKillAsWell) {
  CrashRun(
      {.kills = std::max(kKillsMin, Kills() * 2 / 5), .seed = Seed(), .durability = "async", .release_unknown = false})
      .Run();
}

TEST(Crash, ReleasedUnknownsAreExecutedAgainWithAHigherAttempt) {
  CrashRun(
      {.kills = std::max(kKillsMin, Kills() * 2 / 5), .seed = Seed(), .durability = "sync", .release_unknown = true})
      .Run();
}

TEST(Crash, ClaimsOfApplicationsOutliveTheProcessThatGaveThem) {
  SidecarCrash({.kills = Kills() * 2, .seed = Seed()}).Run();  // each takes a twentieth of a second
}

}  // namespace
}  // namespace oncegate

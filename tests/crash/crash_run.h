#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/crash/ledger.h"
#include "tests/crash/ledger_app.h"
#include "tests/e2e/process.h"

namespace oncegate {

// What a kill waits for. Each aims at a step; the last strikes wherever the life of the requests happens to be.
enum class Aim : uint8_t {
  kIdle,      // all answers are with their clients
  kClaimed,   // some keys are claimed, and the application takes no connection
  kWorking,   // the application has received some requests, and works
  kFrozen,    // the application answers while oncegate stands still
  kAnswered,  // the application has just answered
  kStored,    // some clients have just got their answers, which were stored together with others
  kAnyTime,   // a random time after the requests came
};
constexpr size_t kAims = 7;

// One store, one ledger, and many lives of the real binary, each under load and ended by SIGKILL.
class CrashRun {
 public:
  struct Options {
    int kills = 0;
    uint64_t seed = 0;
    std::string durability;
    bool release_unknown = false;
  };

  explicit CrashRun(Options options);

  // Lives and dies as often as it is told to, then starts once more, checks everything, and prints what was hit.
  void Run();

 private:
  // The senders of one life. Each delivery has a connection and a thread of its own.
  class Senders;

  void Live(Aim aim);
  [[nodiscard]] bool Start(const std::string& upstream);
  void CheckRecords();
  std::map<std::string, ListedRecord> CheckStatistics() const;
  void CheckAnswers(size_t keys_max);
  [[nodiscard]] std::vector<std::string> ChooseKeys();
  void AwaitMoment(Aim aim, int keys, LedgerApp& app, Senders& senders);
  void AwaitClaims(int count) const;
  void Report() const;

  [[nodiscard]] std::string RequestOf(const std::string& key) const;
  [[nodiscard]] std::string TypeOf(const std::string& key) const;
  // From 0 to max.
  int Random(int max) { return static_cast<int>(random_() % (static_cast<uint64_t>(max) + 1)); }
  std::vector<std::string> Sample(std::vector<std::string> keys, size_t count);
  Aim NextAim();
  [[nodiscard]] std::optional<Aim> MissedAim() const;

  const Options options_;
  std::mt19937_64 random_;  // decides what is to happen; this thread's only
  TempDir dir_;
  Ledger ledger_;
  std::unique_ptr<ServeProcess> server_;
  std::vector<Aim> aims_;  // shuffled; dealt until they are used up
  int kills_ = 0;
  int keys_made_ = 0;
  int replays_checked_ = 0;
  std::array<int, kSteps> keys_hit_{};   // keys that were at the step when a kill came
  std::array<int, kSteps> kills_hit_{};  // kills that found at least one key there
  int idle_kills_ = 0;
};

}  // namespace oncegate

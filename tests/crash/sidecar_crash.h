#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/process.h"
#include "tests/support/raw_client.h"

namespace oncegate {

// Applications that claim for themselves, over many lives of the real binary, each ended by SIGKILL. They live on: what
// they have claimed is still theirs afterwards, and a call whose answer was lost is made again.
class SidecarCrash {
 public:
  struct Options {
    int kills = 0;
    uint64_t seed = 0;
  };

  explicit SidecarCrash(Options options) : options_(options), random_(options.seed) {}
  ~SidecarCrash();
  SidecarCrash(const SidecarCrash&) = delete;
  SidecarCrash& operator=(const SidecarCrash&) = delete;

  void Run();

 private:
  // What a kill found an application doing.
  enum class Cut : uint8_t {
    kClaiming,    // its claim was not answered
    kWorking,     // it held a claim
    kCompleting,  // its outcome was not acknowledged
    kReleasing,   // nor was the end of its claim
    kCount
  };
  // Somebody who wants a key executed; each key has several.
  struct Job {
    std::string key;
    int owner = 0;
  };
  struct Story {
    std::string holder;  // the token of whoever works on it; empty: nobody does
    int begun = 0;       // times that it was worked on
    int released = 0;
    std::optional<std::string> outcome;  // sent off; from then on there is no other
    bool acknowledged = false;
  };

  void Work(uint64_t seed);
  void Do(const Job& job, std::mt19937_64* random);
  bool TryOnce(const Job& job, const std::string& claim_id, std::mt19937_64* random);
  void Finish(const Job& job, const std::string& token, std::mt19937_64* random);
  // Asks until there is an answer, in this life or a later one.
  RawAnswer Ask(Cut doing, const std::string& target, const std::string& body);
  void AddJobs();
  [[nodiscard]] bool Start();
  void CheckRecords();
  void Report();
  void AwaitUnlessFailed(std::unique_lock<std::mutex>& lock, const std::function<bool()>& wanted);
  [[nodiscard]] bool Missed();
  [[nodiscard]] int life();

  const Options options_;
  std::mt19937_64 random_;  // decides when to kill; the first thread's only
  TempDir dir_;
  std::unique_ptr<ServeProcess> server_;
  int kills_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint16_t port_ = 0;  // guarded by mutex_, as is all below; 0: nobody listens
  int life_ = 0;
  bool no_more_jobs_ = false;
  int keys_ = 0;
  int answers_ = 0;  // of this life
  std::deque<Job> jobs_;
  size_t at_work_ = 0;
  std::map<std::string, Story> stories_;
  std::array<int, static_cast<size_t>(Cut::kCount)> cuts_{};
  int replays_ = 0;
  int duplicates_ = 0;
  int lost_ = 0;
  std::vector<std::thread> owners_;
};

}  // namespace oncegate

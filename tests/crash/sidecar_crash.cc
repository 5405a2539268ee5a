#include "tests/crash/sidecar_crash.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "tests/crash/control_view.h"
#include "tests/crash/hits.h"

namespace oncegate {
namespace {

constexpr int kOwners = 8;
constexpr int kKeysOfALife = 10;
constexpr int kOwnersOfAKeyMax = 3;
constexpr int kReleaseOneOf = 3;
constexpr int kAttemptsMax = 50;  // each waits for a second
constexpr int kWorkUsMax = 2'000;
constexpr int kKillAfterAnswersMax = 30;
constexpr int kKillAfterUsMax = 3'000;
constexpr std::chrono::seconds kLifeMax{20};

constexpr std::array<const char*, 4> kCutNames = {"claiming", "working", "completing", "releasing"};

std::string TextIn(const std::string& json, const std::string& pointer) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string_view text;
  const bool found = parser.parse(json).get(document) == simdjson::SUCCESS &&
                     document.at_pointer(pointer).get(text) == simdjson::SUCCESS;
  EXPECT_TRUE(found) << pointer << " in " << json;
  return std::string(text);
}

}  // namespace

SidecarCrash::~SidecarCrash() {
  {
    const std::lock_guard lock(mutex_);
    no_more_jobs_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  for (std::thread& owner : owners_) {
    if (owner.joinable()) owner.join();
  }
}

void SidecarCrash::Run() {
  for (int i = 0; i < kOwners; ++i) owners_.emplace_back([this, seed = random_()] { Work(seed); });
  const int kills_max = kLivesMaxFactor * options_.kills;
  for (kills_ = 0; (kills_ < options_.kills || (Missed() && kills_ < kills_max)) && !testing::Test::HasFailure();
       ++kills_) {
    AddJobs();
    ASSERT_TRUE(Start());
    const int answers = 1 + static_cast<int>(random_() % kKillAfterAnswersMax);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLifeMax, [&] { return answers_ >= answers || (jobs_.empty() && at_work_ == 0); });
    changed_.wait_for(lock, std::chrono::microseconds(random_() % kKillAfterUsMax), [] { return false; });
    port_ = 0;
    lock.unlock();
    server_->Kill();
  }
  ASSERT_TRUE(Start());
  {
    const std::lock_guard lock(mutex_);
    no_more_jobs_ = true;
  }
  changed_.notify_all();
  for (std::thread& owner : owners_) owner.join();
  CheckRecords();
  EXPECT_EQ(server_->Stop(), 0);
  Report();
}

bool SidecarCrash::Start() {
  server_ = std::make_unique<ServeProcess>(
      std::vector<std::string>{"--data-dir", dir_ / "data", "--upstream", "http://127.0.0.1:1"});
  EXPECT_TRUE(server_->listening()) << server_->Err();
  {
    const std::lock_guard lock(mutex_);
    port_ = server_->control_port();
    ++life_;
    answers_ = 0;
  }
  changed_.notify_all();
  return server_->listening();
}

void SidecarCrash::AddJobs() {
  {
    const std::lock_guard lock(mutex_);
    std::vector<Job> jobs;
    for (int i = 0; i < kKeysOfALife; ++i) {
      const std::string key = "job_" + std::to_string(++keys_);
      for (int owner = 0; owner <= static_cast<int>(random_() % kOwnersOfAKeyMax); ++owner)
        jobs.push_back({key, owner});
    }
    std::shuffle(jobs.begin(), jobs.end(), random_);
    jobs_.insert(jobs_.end(), jobs.begin(), jobs.end());
  }
  changed_.notify_all();
}

void SidecarCrash::Work(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::unique_lock lock(mutex_);
  for (;;) {
    AwaitUnlessFailed(lock, [this] { return no_more_jobs_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = jobs_.front();
    jobs_.pop_front();
    ++at_work_;
    lock.unlock();
    Do(job, &random);
    lock.lock();
    --at_work_;
  }
}

// Until the key has an outcome, whoever brought it about.
void SidecarCrash::Do(const Job& job, std::mt19937_64* random) {
  for (int attempt = 0; attempt < kAttemptsMax && !testing::Test::HasFailure(); ++attempt) {
    const std::string claim_id = job.key + "." + std::to_string(job.owner) + "." + std::to_string(attempt);
    if (TryOnce(job, claim_id, random)) return;
  }
  if (!testing::Test::HasFailure()) ADD_FAILURE() << "nobody finishes " << job.key;
}

bool SidecarCrash::TryOnce(const Job& job, const std::string& claim_id, std::mt19937_64* random) {
  const RawAnswer answer =
      Ask(Cut::kClaiming, "/v1/claims",
          R"({"key":")" + job.key + R"(","claim_id":")" + claim_id + R"(","lease":"1h","wait":"1s"})");
  if (answer.status == 409) {
    EXPECT_NE(answer.body.find("in-flight"), std::string::npos) << job.key << " " << answer.body;
    return false;
  }
  if (answer.status == 200) {
    const std::string body = TextIn(answer.body, "/response/body");
    const std::lock_guard lock(mutex_);
    const Story& story = stories_[job.key];
    ++replays_;
    if (story.outcome == body) return true;
    ++lost_;
    ADD_FAILURE() << job.key << " is answered with " << body << ", not " << story.outcome.value_or("(nothing)");
    return true;
  }
  EXPECT_EQ(answer.status, 201) << job.key << " " << answer.body;
  if (answer.status != 201) return true;
  const std::string token = TextIn(answer.body, "/token");
  {
    const std::lock_guard lock(mutex_);
    Story& story = stories_[job.key];
    ++story.begun;
    if (story.outcome || !story.holder.empty()) {
      ++duplicates_;
      ADD_FAILURE() << job.key << " was given to a second one in life " << life_;
    }
    story.holder = token;
  }
  Finish(job, token, random);
  return false;  // ask for the outcome, or begin anew
}

void SidecarCrash::Finish(const Job& job, const std::string& token, std::mt19937_64* random) {
  const int begun_in = life();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::microseconds((*random)() % kWorkUsMax), [] { return false; });
    if (life_ != begun_in || port_ == 0) ++cuts_[static_cast<size_t>(Cut::kWorking)];
  }
  const std::string target = "/v1/claims/" + token;
  if ((*random)() % kReleaseOneOf == 0) {
    {
      const std::lock_guard lock(mutex_);
      stories_[job.key].holder.clear();  // from here on somebody else may have it
      ++stories_[job.key].released;
    }
    const RawAnswer released = Ask(Cut::kReleasing, target + "/release", "{}");
    // Nobody holds the key by this token any more, if the first answer was lost.
    EXPECT_TRUE(released.status == 204 || released.body.find("claim-lost") != std::string::npos)
        << job.key << " " << released.status << " " << released.body;
    return;
  }
  const std::string outcome = job.key + " by " + token;
  {
    const std::lock_guard lock(mutex_);
    stories_[job.key].outcome = outcome;
  }
  const RawAnswer completed =
      Ask(Cut::kCompleting, target + "/complete", R"({"status":201,"body":")" + outcome + R"("})");
  const std::lock_guard lock(mutex_);
  stories_[job.key].acknowledged = completed.status == 204;
  if (completed.status == 204) return;
  ++lost_;
  ADD_FAILURE() << job.key << " could not be completed: " << completed.status << " " << completed.body;
}

RawAnswer SidecarCrash::Ask(Cut doing, const std::string& target, const std::string& body) {
  const std::string request = "POST " + target +
                              " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  for (;;) {
    std::unique_lock lock(mutex_);
    AwaitUnlessFailed(lock, [this] { return port_ != 0; });
    if (port_ == 0) return {};
    const int asked_in = life_;
    RawClient client(port_);
    lock.unlock();
    const bool sent = client.connected() && client.Send(request);
    RawAnswer answer = sent ? client.Receive() : RawAnswer{};
    lock.lock();
    if (answer.whole && answer.status != 0) {
      ++answers_;
      changed_.notify_all();
      return answer;
    }
    if (sent) ++cuts_[static_cast<size_t>(doing)];
    AwaitUnlessFailed(lock, [&] { return life_ != asked_in; });
  }
}

// A failed test ends all waits.
void SidecarCrash::AwaitUnlessFailed(std::unique_lock<std::mutex>& lock, const std::function<bool()>& wanted) {
  while (!wanted() && !testing::Test::HasFailure()) changed_.wait_for(lock, std::chrono::milliseconds(100));
}

// Whether kills have found too few applications at one of the steps.
bool SidecarCrash::Missed() {
  const std::lock_guard lock(mutex_);
  return *std::min_element(cuts_.begin(), cuts_.end()) < HitsMin(options_.kills);
}

int SidecarCrash::life() {
  const std::lock_guard lock(mutex_);
  return life_;
}

// Every key has the outcome that was sent off for it, and no other.
void SidecarCrash::CheckRecords() {
  const auto records = ListRecords(server_->control_port(), "", 1000);
  ASSERT_TRUE(records);
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(records->size(), stories_.size());
  for (const auto& [key, story] : stories_) {
    EXPECT_TRUE(story.acknowledged) << key;
    EXPECT_EQ(story.begun, story.released + 1) << key;
    const auto record = records->find(key);
    ASSERT_TRUE(record != records->end()) << key;
    EXPECT_EQ(record->second.state, "completed") << key;
    EXPECT_EQ(record->second.attempt, 1) << key << ": nobody's lease has ended";
  }
}

void SidecarCrash::Report() {
  const std::lock_guard lock(mutex_);
  std::printf("sidecar crash ledger: seed %llu, %d kills\n  %zu keys, %d replays compared, %d duplicates, %d lost\n",
              static_cast<unsigned long long>(options_.seed), kills_, stories_.size(), replays_, duplicates_, lost_);
  for (size_t cut = 0; cut < cuts_.size(); ++cut) std::printf("  killed while %-12s %6d\n", kCutNames[cut], cuts_[cut]);
  if (testing::Test::HasFailure()) return;
  for (size_t cut = 0; cut < cuts_.size(); ++cut) EXPECT_GE(cuts_[cut], HitsMin(options_.kills)) << kCutNames[cut];
  EXPECT_GT(replays_, 0);
}

}  // namespace oncegate

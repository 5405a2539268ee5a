#include "tests/crash/crash_run.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <utility>

#include "tests/crash/hits.h"

namespace oncegate {
namespace {

using Microseconds = std::chrono::microseconds;

constexpr int kNewKeysMax = 10;  // of a life, at least half as many
constexpr size_t kRetriedKeysMax = 6;
constexpr size_t kReplaysMax = 6;
constexpr int kDuplicatesMax = 3;
// What is checked after each start; with a few thousand keys a long run would do nothing else. The end checks all.
constexpr size_t kCheckedKeysMax = 600;
// Small, so that there are many pages; the other listing is read in large ones.
constexpr int kSmallPage = 7;
constexpr int kLargePage = 1000;

// How long after what it waits for a kill comes, at most.
constexpr int kAfterClaimUsMax = 3'000;
constexpr int kAfterReceiptUsMax = 3'000;
constexpr int kAfterAnswerUsMax = 8'000;  // a write to disk takes about as long
constexpr int kAfterReplyUsMax = 300;
constexpr int kAnyTimeUsMax = 60'000;

constexpr std::array<const char*, kSteps> kStepNames = {
    "not claimed", "claimed, not sent", "sent, not answered", "answered, not stored", "stored, not replied", "replied",
};

// How each step is best hit.
struct AimedStep {
  Step step;
  Aim aim;
};
constexpr AimedStep kAimedSteps[] = {
    {Step::kClaimed, Aim::kClaimed},
    {Step::kSent, Aim::kWorking},
    {Step::kAnswered, Aim::kFrozen},
    {Step::kStored, Aim::kStored},
};

}  // namespace

class CrashRun::Senders {
 public:
  Senders(Ledger& ledger, uint16_t port) : ledger_(ledger), port_(port) {}
  ~Senders() { Join(); }
  Senders(const Senders&) = delete;
  Senders& operator=(const Senders&) = delete;

  void Send(const std::string& key, std::string request) {
    const std::lock_guard lock(mutex_);
    ++open_;
    threads_.emplace_back([this, key, bytes = std::move(request)] { Deliver(key, bytes); });
  }

  // False if some are still open after the time.
  bool AwaitAll(Microseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return open_ == 0; });
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Deliveries that ended without a whole answer.
  int cut_off() {
    const std::lock_guard lock(mutex_);
    return cut_off_;
  }

 private:
  void Deliver(const std::string& key, const std::string& request) {
    RawClient client(port_);
    RawAnswer answer;
    if (client.connected() && client.Send(request)) answer = client.Receive();
    const bool whole = answer.whole && answer.status != 0;
    if (whole && answer.status / 100 == 2) {
      ledger_.Got(key, answer);
    } else if (whole) {
      EXPECT_EQ(answer.Verdict(), "409 in-flight") << key << "\n" << answer.head << answer.body;
    }
    const std::lock_guard lock(mutex_);
    --open_;
    cut_off_ += whole ? 0 : 1;
    changed_.notify_all();
  }

  Ledger& ledger_;
  const uint16_t port_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int open_ = 0;     // guarded by mutex_
  int cut_off_ = 0;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

CrashRun::CrashRun(Options options)
    : options_(std::move(options)), random_(options_.seed), ledger_(options_.release_unknown, options_.seed) {}

void CrashRun::Run() {
  for (kills_ = 0; kills_ < options_.kills || (MissedAim() && kills_ < kLivesMaxFactor * options_.kills);) {
    const Aim aim = kills_ < options_.kills ? NextAim() : *MissedAim();
    SCOPED_TRACE("seed " + std::to_string(options_.seed) + ", life " + std::to_string(++kills_) + ", aim " +
                 std::to_string(static_cast<int>(aim)));
    Live(aim);
    if (testing::Test::HasFailure()) break;  // what follows from a broken promise says nothing more
  }
  ASSERT_TRUE(Start("http://127.0.0.1:1"));  // nothing is forwarded any more
  CheckRecords();
  CheckAnswers(SIZE_MAX);
  ledger_.BeginLife();  // in which nothing is sent: being asked has changed nothing
  CheckRecords();
  EXPECT_EQ(server_->Stop(), 0);
  Report();
}

void CrashRun::Live(Aim aim) {
  const bool held = aim == Aim::kWorking || aim == Aim::kFrozen || aim == Aim::kAnswered || aim == Aim::kStored;
  LedgerApp app(ledger_, held ? LedgerApp::Work::kUntilGate : LedgerApp::Work::kBrief, random_());
  std::unique_ptr<StalledApp> stalled;
  if (aim == Aim::kClaimed) stalled = std::make_unique<StalledApp>();
  ASSERT_TRUE(Start("http://127.0.0.1:" + std::to_string(stalled ? stalled->port() : app.port())));
  CheckRecords();
  CheckAnswers(kCheckedKeysMax);

  ledger_.BeginLife();
  const std::vector<std::string> keys = ChooseKeys();
  std::vector<std::string> deliveries = Sample(ledger_.Settled(), kReplaysMax);
  for (const std::string& key : keys) {
    ledger_.Sent(key);
    deliveries.insert(deliveries.end(), static_cast<size_t>(1 + Random(kDuplicatesMax)), key);
  }
  Senders senders(ledger_, server_->gateway_port());
  for (const std::string& key : Sample(deliveries, deliveries.size())) senders.Send(key, RequestOf(key));
  AwaitMoment(aim, static_cast<int>(keys.size()), app, senders);
  ledger_.EndLife();
  server_->Kill();
  senders.Join();
  if (senders.cut_off() == 0) ++idle_kills_;
}

bool CrashRun::Start(const std::string& upstream) {
  server_ = std::make_unique<ServeProcess>(std::vector<std::string>{
      "--data-dir", dir_ / "data", "--upstream", upstream, "--durability", options_.durability, "--on-unknown",
      options_.release_unknown ? "release" : "hold", "--type-header", "X-Type", "--max-stored-body",
      std::to_string(Ledger::kStoredBodyBytesMax), "--connect-timeout", "30s", "--in-flight-wait", "15s"});
  EXPECT_TRUE(server_->listening()) << server_->Err();
  return server_->listening();
}

// REQUIRES: a process that has just started, with nothing in flight.
void CrashRun::CheckRecords() {
  const std::map<std::string, ListedRecord> records = CheckStatistics();
  if (testing::Test::HasFailure()) return;
  const StepCounts counts = ledger_.Reconcile(records);
  for (size_t step = 0; step < kSteps; ++step) {
    keys_hit_[step] += counts[step];
    kills_hit_[step] += counts[step] > 0 ? 1 : 0;
  }
}

// Compares the statistics, the listing of everything, which it returns, and that of the unknown.
// REQUIRES: nothing is in flight.
std::map<std::string, ListedRecord> CrashRun::CheckStatistics() const {
  const auto all = ListRecords(server_->control_port(), "", kLargePage);
  const auto unknown = ListRecords(server_->control_port(), "state=unknown", kSmallPage);
  const auto stats = ExactStats(server_->control_port());
  EXPECT_TRUE(all && unknown && stats);
  if (!all || !unknown || !stats) return {};
  std::map<std::string, int> by_state;
  std::map<std::string, int> by_type;
  std::set<std::string> unknown_keys;
  for (const auto& [key, record] : *all) {
    EXPECT_EQ(record.type, TypeOf(key)) << key;
    ++by_state[record.state];
    ++by_type[record.type];
    if (record.state == "unknown") unknown_keys.insert(key);
  }
  EXPECT_EQ(stats->active, static_cast<int>(all->size()));
  EXPECT_EQ(stats->expired, 0);
  EXPECT_EQ(stats->by_state, by_state);
  EXPECT_EQ(stats->by_type, by_type);
  std::set<std::string> listed_as_unknown;
  for (const auto& [key, record] : *unknown) listed_as_unknown.insert(key);
  EXPECT_EQ(listed_as_unknown, unknown_keys);
  return *all;
}

// What was acknowledged is replayed as it was; what is unknown is held.
void CrashRun::CheckAnswers(size_t keys_max) {
  std::vector<std::string> keys = ledger_.Settled();
  if (!options_.release_unknown) {
    const std::vector<std::string> unknown = ledger_.Unknown();
    keys.insert(keys.end(), unknown.begin(), unknown.end());
  }
  RawClient client(server_->gateway_port());
  for (const std::string& key : Sample(std::move(keys), keys_max)) {
    ASSERT_TRUE(client.Send(RequestOf(key))) << key;
    const RawAnswer answer = client.Receive();
    ASSERT_TRUE(answer.whole) << key;
    if (ledger_.IsUnknown(key)) {
      EXPECT_EQ(answer.Verdict(), "409 outcome-unknown") << key;
      continue;
    }
    EXPECT_EQ(answer.Verdict(), "201 replayed") << key;
    ledger_.Got(key, answer);
    ++replays_checked_;
  }
}

// New ones, and some whose earlier delivery led to nothing, as their senders would retry them.
std::vector<std::string> CrashRun::ChooseKeys() {
  std::vector<std::string> keys = Sample(ledger_.Retryable(), kRetriedKeysMax);
  const int count = kNewKeysMax / 2 + Random(kNewKeysMax / 2);
  for (int i = 0; i < count; ++i) keys.push_back("evt_" + std::to_string(++keys_made_));
  return keys;
}

void CrashRun::AwaitMoment(Aim aim, int keys, LedgerApp& app, Senders& senders) {
  const int some = 1 + Random(keys - 1);
  const auto up_to = [this](int us_max) { return Microseconds(Random(us_max)); };
  switch (aim) {
    case Aim::kIdle:
      EXPECT_TRUE(senders.AwaitAll(Ledger::kPatience)) << "not everybody was answered";
      EXPECT_EQ(senders.cut_off(), 0);
      CheckStatistics();  // as they were counted while it all happened; at the start they are counted anew
      return;
    case Aim::kClaimed:
      AwaitClaims(some);
      (void)senders.AwaitAll(up_to(kAfterClaimUsMax));
      return;
    case Aim::kWorking:
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kReceived, some)) << some;
      (void)senders.AwaitAll(up_to(kAfterReceiptUsMax));
      return;
    case Aim::kFrozen:
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kReceived, some)) << some;
      server_->Signal(SIGSTOP);
      app.OpenGate();
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kAnswered, some)) << some;
      return;
    case Aim::kAnswered:
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kReceived, some)) << some;
      app.OpenGate();
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kAnswered, 1));
      (void)senders.AwaitAll(up_to(kAfterAnswerUsMax));
      return;
    case Aim::kStored:
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kReceived, keys)) << keys;
      app.OpenGate();
      EXPECT_TRUE(ledger_.Await(Ledger::Event::kAcknowledged, 1 + some / 4)) << some;
      (void)senders.AwaitAll(up_to(kAfterReplyUsMax));
      return;
    case Aim::kAnyTime:
      (void)senders.AwaitAll(up_to(kAnyTimeUsMax));
      return;
  }
}

void CrashRun::AwaitClaims(int count) const {
  const auto give_up = std::chrono::steady_clock::now() + Ledger::kPatience;
  while (std::chrono::steady_clock::now() < give_up) {
    const auto claimed = ListRecords(server_->control_port(), "state=in_progress", kLargePage);
    if (!claimed || static_cast<int>(claimed->size()) >= count) return;
    std::this_thread::yield();
  }
  ADD_FAILURE() << "never " << count << " claims";
}

void CrashRun::Report() const {
  const LedgerTotals totals = ledger_.Totals();
  std::printf("crash ledger: seed %llu, %d kills, --durability %s, --on-unknown %s\n",
              static_cast<unsigned long long>(options_.seed), kills_, options_.durability.c_str(),
              options_.release_unknown ? "release" : "hold");
  std::printf(
      "  %d keys, %d executions, %d keys executed again, %d outcomes with a client, %d unknown, "
      "%d replays compared after restarts\n",
      totals.keys, totals.executions, totals.repeated, totals.acknowledged, totals.unknown, replays_checked_);
  std::printf("  %d duplicates, %d lost\n  %-22s %6s %6s\n", totals.duplicates, totals.lost, "killed at", "kills",
              "keys");
  for (size_t step = 0; step < kSteps; ++step)
    std::printf("  %-22s %6d %6d\n", kStepNames[step], kills_hit_[step], keys_hit_[step]);
  std::printf("  %-22s %6d\n", "idle", idle_kills_);

  if (testing::Test::HasFailure()) return;  // the run was broken off
  for (const AimedStep& aimed : kAimedSteps)
    EXPECT_GE(kills_hit_[static_cast<size_t>(aimed.step)], HitsMin(options_.kills))
        << kStepNames[static_cast<size_t>(aimed.step)];
  EXPECT_GE(idle_kills_, HitsMin(options_.kills));
  if (options_.release_unknown) {
    EXPECT_GT(totals.repeated, 0) << "no unknown attempt was followed by another";
  } else {
    EXPECT_EQ(totals.repeated, 0);
  }
  EXPECT_EQ(totals.duplicates, 0);
  EXPECT_EQ(totals.lost, 0);
}

// Bodies below and above the size from which they are stored apart.
std::string CrashRun::RequestOf(const std::string& key) const {
  const std::string body(NumberOf("request of " + key, options_.seed, 8000), 'b');
  return "POST /hooks/" + key + " HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\nX-Type: " + TypeOf(key) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string CrashRun::TypeOf(const std::string& key) const {
  return "type_" + std::to_string(NumberOf("type of " + key, options_.seed, 3));
}

// Up to `count` of the keys, in random order.
std::vector<std::string> CrashRun::Sample(std::vector<std::string> keys, size_t count) {
  for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[static_cast<size_t>(random_() % i)]);
  if (keys.size() > count) keys.resize(count);
  return keys;
}

// The aim of a step that was not hit often enough, as far as the starts so far have shown.
std::optional<Aim> CrashRun::MissedAim() const {
  for (const AimedStep& aimed : kAimedSteps) {
    if (kills_hit_[static_cast<size_t>(aimed.step)] < HitsMin(options_.kills)) return aimed.aim;
  }
  if (idle_kills_ < HitsMin(options_.kills)) return Aim::kIdle;
  return std::nullopt;
}

Aim CrashRun::NextAim() {
  if (aims_.empty()) {
    for (size_t aim = 0; aim < kAims; ++aim) aims_.push_back(static_cast<Aim>(aim));
    for (size_t i = aims_.size(); i > 1; --i) std::swap(aims_[i - 1], aims_[static_cast<size_t>(random_() % i)]);
  }
  const Aim aim = aims_.back();
  aims_.pop_back();
  return aim;
}

}  // namespace oncegate

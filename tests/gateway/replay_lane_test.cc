// The replay lane: whatever a retry is, it is answered as it would be without the lane, and counted once.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gateway_fixture.h"

namespace oncegate {
namespace {

// A request, after the first delivery of evt_1 with body "{}" was answered.
struct Retry {
  std::string name;
  std::string fields = "Idempotency-Key: evt_1\r\n";
  std::string body = "{}";
  std::string method = "POST";
  std::string target = "/webhook";
  std::function<void(Route*)> route = [](Route*) {};
  bool from_lane = false;
};

std::vector<Retry> Retries() {
  const auto with_pointer = [](Route* route) { route->key_pointers = {*JsonPointer::Parse("/id")}; };
  return {
      {.name = "TheSame", .from_lane = true},
      {.name = "QuotedKey", .fields = "Idempotency-Key: \"evt_1\"\r\n", .from_lane = true},
      {.name = "OtherFieldOfTheKey", .fields = "X-Idempotency-Key: evt_1\r\n", .from_lane = true},
      {.name = "OtherBody", .body = "{\"other\":1}"},
      {.name = "OtherTarget", .target = "/webhook?again"},
      {.name = "OtherMethod", .method = "PATCH"},
      {.name = "OtherBodyWhereThatIsAllowed",
       .body = "{\"other\":1}",
       .route = [](Route* route) { route->on_mismatch = MismatchPolicy::kReplay; },
       .from_lane = true},
      {.name = "OtherKey", .fields = "Idempotency-Key: evt_2\r\n"},
      {.name = "NoKey", .fields = ""},
      {.name = "NoKeyWhereOneIsNeeded",
       .fields = "",
       .route = [](Route* route) { route->on_missing_key = MissingKeyPolicy::kReject; }},
      {.name = "RepeatedKey", .fields = "Idempotency-Key: evt_1\r\nIdempotency-Key: evt_1\r\n"},
      {.name = "MalformedKey", .fields = "Idempotency-Key: evt 1\r\n"},
      {.name = "MethodThatIsPassedOn", .method = "GET"},
      {.name = "KeyInTheBody",
       .fields = "",
       .body = R"({"id":"evt_1"})",
       .route = [](Route* route) { route->on_mismatch = MismatchPolicy::kReplay; }},
      {.name = "KeyInTheBodyByPointer",
       .fields = "",
       .body = R"({"id":"evt_1"})",
       .route =
           [=](Route* route) {
             with_pointer(route);
             route->on_mismatch = MismatchPolicy::kReplay;
           },
       .from_lane = true},
      {.name = "OtherScope", .route = [](Route* route) { route->scope_header = "X-Client"; }, .from_lane = true},
      {.name = "WhileNothingIsDeduplicated", .route = [](Route* route) { route->dedupe = Dedupe::kOff; }},
      {.name = "WhileItIsOnlyWatched", .route = [](Route* route) { route->dedupe = Dedupe::kShadow; }},
      {.name = "ALargeBody", .body = std::string((1 << 20) + 1, 'x')},
  };
}

class ReplayLane : public GatewayTest, public testing::WithParamInterface<Retry> {
 protected:
  // What the retry gets, and how it was counted.
  struct Told {
    std::string verdict;
    std::string answer;
    uint64_t replayed = 0;
    size_t executions = 0;
    uint64_t pending = 0;

    friend bool operator==(const Told&, const Told&) = default;
  };
  Told AnswerTo(const Retry& retry, bool in_memory) {
    FakeStore store(clock_);
    store.recalls = in_memory;
    ScriptedUpstream upstream;
    upstream.Answer(201, "order-1", "X-Order: 1\r\n");
    Route route;
    retry.route(&route);
    gateway_ = std::make_unique<Gateway>(RouteTable(std::make_shared<const Route>(route)),
                                         GatewayLimits{.max_in_flight = 1024, .workers = 4},
                                         GatewayParts{store, upstream, memory_, clock_, logger_});
    (void)Post("evt_1").Get();
    AwaitEnd(ScopedKey("default", "evt_1"));
    const Seen seen = Send(retry.method, retry.fields, retry.body, retry.target).Get();
    Told told{.verdict = Verdict(seen), .answer = seen.head + seen.body};
    told.replayed = gateway_->meter().Total(Outcome::kReplayed);
    told.pending = gateway_->housekeeper().PendingReplays(ScopedKey("default", "evt_1")).count;
    recalled_ = store.recalled;
    gateway_->ShutDown();
    told.executions = upstream.executions();
    gateway_.reset();
    return told;
  }

  int recalled_ = 0;
};

TEST_P(ReplayLane, AnswersAsTheOtherOneDoes) {
  const Told other = AnswerTo(GetParam(), false);
  EXPECT_EQ(recalled_, 0);
  const Told lane = AnswerTo(GetParam(), true);
  EXPECT_EQ(lane.verdict, other.verdict);
  EXPECT_EQ(lane.answer, other.answer);
  EXPECT_EQ(lane.replayed, other.replayed);
  EXPECT_EQ(lane.executions, other.executions);
  EXPECT_EQ(lane.pending, other.pending);
  EXPECT_EQ(lane.verdict == "201 replayed", GetParam().from_lane) << lane.verdict;
  EXPECT_TRUE(recalled_ == 1 || !GetParam().from_lane);
}

INSTANTIATE_TEST_SUITE_P(All, ReplayLane, testing::ValuesIn(Retries()),
                         [](const testing::TestParamInfo<Retry>& tested) { return tested.param.name; });

class ReplayLaneTest : public GatewayTest {
 protected:
  // The outcome, if the lane has it; `seen` is what Handle would get.
  std::shared_ptr<const KnownOutcome> Try(const std::string& key, std::optional<Gateway::Sighting>* seen) {
    http::RequestHead head;
    http::HeadParser parser;
    const std::string text = "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\n\r\n";
    EXPECT_EQ(parser.ParseRequest(text, &head), http::ParseState::kDone);
    return gateway_->TryReplay({head, "{}", "192.0.2.7"}, seen);
  }
  std::optional<Gateway::Sighting> seen_;
};

TEST_F(ReplayLaneTest, LeavesToOthersWhatHasExpired) {
  ManualClock clock(1'700'000'000'000);
  FakeStore store(clock);
  gateway_ = std::make_unique<Gateway>(RouteTable(std::make_shared<const Route>()), GatewayLimits{},
                                       GatewayParts{store, upstream_, memory_, clock_, logger_});
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  AwaitEnd(ScopedKey("default", "evt_1"));
  clock.Advance(Route().ttl_ms - 1);
  EXPECT_TRUE(Try("evt_1", &seen_));
  clock.Advance(1);
  EXPECT_FALSE(Try("evt_1", &seen_));
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  gateway_->ShutDown();
  gateway_.reset();
}

TEST_F(ReplayLaneTest, IsClosedWhileTheServerShutsDown) {
  Start();
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  AwaitEnd(ScopedKey("default", "evt_1"));
  EXPECT_TRUE(Try("evt_1", &seen_));
  gateway_->StartDraining();
  EXPECT_FALSE(Try("evt_1", &seen_));
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "503 draining");
}

// Routes may change between the look and the rest: a request keeps those that it was seen with.
TEST_F(ReplayLaneTest, WhatItSawHoldsWhenRoutesChange) {
  Start();
  ASSERT_FALSE(Try("evt_1", &seen_));
  ASSERT_TRUE(seen_);
  EXPECT_EQ(seen_->identity.key, "evt_1");
  Route changed;
  changed.scope = "changed";
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(changed)));
  EXPECT_EQ(seen_->route->scope, "default");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  EXPECT_TRUE(store_.Get(ScopedKey("changed", "evt_1"), RecordParts::kReplay)->has_value());
}

// Counts of replays: in the outcome while it is in memory, and none is lost or counted twice when it is read anew.
TEST_F(ReplayLaneTest, ReplaysAreCountedWhereverTheyAreCounted) {
  RequestMeter meter(clock_);
  const ScopedKey key("default", "evt_1");
  Record record;
  record.key = key;
  const KnownOutcome first{.record = record};
  const KnownOutcome second{.record = record};
  {
    Housekeeper housekeeper(store_, meter, logger_);
    housekeeper.CountReplay(first, 1000);
    housekeeper.CountReplay(first, 2000);
    EXPECT_EQ(housekeeper.PendingReplays(key).count, 2U);
    housekeeper.CountReplay(key);
    housekeeper.CountReplay(second, 3000);  // it was read anew, and the first is still in use
    housekeeper.CountReplay(first, 4000);
    housekeeper.CountReplay(second, 5000);
    EXPECT_EQ(housekeeper.PendingReplays(key).count, 6U);
    EXPECT_EQ(housekeeper.PendingReplays(key).first_at_ms, 1000);
  }
  ASSERT_EQ(store_.added_replays.size(), 1U);
  EXPECT_EQ(store_.added_replays[0].count, 6U);
  EXPECT_EQ(store_.added_replays[0].first_at_ms, 1000);
  EXPECT_EQ(first.tally->count(), 0U);
  EXPECT_EQ(second.tally->count(), 0U);
}

TEST_F(ReplayLaneTest, ReplaysBeyondTheBoundGoUncountedAndAreCountedLater) {
  RequestMeter meter(clock_);
  Housekeeper housekeeper(store_, meter, logger_);
  std::vector<KnownOutcome> outcomes;
  for (size_t i = 0; i <= Housekeeper::kCountedKeysMax; ++i) {
    Record record;
    record.key = ScopedKey("default", std::to_string(i));
    outcomes.push_back({.record = record});
    housekeeper.CountReplay(outcomes.back(), 1000);
  }
  size_t uncounted = 0;
  for (const KnownOutcome& outcome : outcomes) uncounted += outcome.tally->count() == 0 ? 1 : 0;
  EXPECT_GT(uncounted, 0U) << "and their next replay tries again";
}

}  // namespace
}  // namespace oncegate

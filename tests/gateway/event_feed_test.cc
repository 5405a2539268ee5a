#include "gateway/event_feed.h"

#include <map>
#include <thread>

#include "gateway/request_meter.h"
#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

class EventFeedTest : public testing::Test {
 protected:
  void Tell(const std::string& key, Outcome outcome) {
    feed_.Publish({.outcome = outcome, .route_scope = "default", .scope = "default", .key = key, .status = 200});
  }
  // As much as a second's slots let in, and more.
  void Flood(Outcome outcome, int count) {
    for (int i = 0; i < count; ++i) Tell("flood", outcome);
  }
  static std::string KeysOf(const EventFeed::Batch& batch) {
    std::string keys;
    for (const RequestEvent& event : batch.events) keys += event.key + " ";
    return keys;
  }

  ManualClock clock_{1'795'469'039'123};
  EventFeed feed_{clock_};
};

TEST_F(EventFeedTest, TellsWhatFinishesFromTheSubscriptionOnInOrder) {
  Tell("before", Outcome::kExecuted);
  const auto subscription = feed_.Subscribe();
  Tell("a", Outcome::kReplayed);
  feed_.Publish({.outcome = http::ErrorCode::kInFlight,
                 .route_scope = "orders",
                 .scope = "orders~1",
                 .key = "b",
                 .type = "webhook",
                 .source_ip = "192.0.2.7",
                 .status = 409,
                 .attempt = 3,
                 .duration_us = 1'250});
  Tell("c", Outcome::kExecuted);
  const EventFeed::Batch batch = subscription->Take();
  ASSERT_EQ(KeysOf(batch), "a b c ");
  const RequestEvent& event = batch.events[1];
  EXPECT_EQ(event.at_ms, 1'795'469'039'123);
  EXPECT_EQ(event.scope, "orders~1");
  EXPECT_EQ(event.type, "webhook");
  EXPECT_EQ(event.outcome.label(), "in_flight");
  EXPECT_EQ(event.status, 409);
  EXPECT_EQ(event.attempt, 3U);
  EXPECT_EQ(event.duration_us, 1'250);
  EXPECT_EQ(event.source_ip, "192.0.2.7");
  EXPECT_EQ(batch.dropped, 0U);
  EXPECT_EQ(KeysOf(subscription->Take()), "");
}

TEST_F(EventFeedTest, NeverMoreThanAHundredWithinAnySecondAndTheRestIsCounted) {
  const auto subscription = feed_.Subscribe();
  std::vector<std::pair<int64_t, size_t>> told;  // when, how many
  size_t all = 0;
  constexpr int kPublished = 60 * 50;
  uint64_t dropped = 0;
  for (int turn = 0; turn < 60; ++turn) {
    Flood(turn % 2 == 0 ? Outcome(Outcome::kReplayed) : Outcome(Outcome::kExecuted), 50);
    const EventFeed::Batch batch = subscription->Take();
    dropped = batch.dropped;
    told.emplace_back(clock_.SteadyMs(), batch.events.size());
    all += batch.events.size();
    size_t within_a_second = 0;
    for (const auto& [at_ms, count] : told) within_a_second += at_ms > clock_.SteadyMs() - 1000 ? count : 0;
    EXPECT_LE(within_a_second, EventFeed::kEventsPerSecondMax) << turn;
    clock_.Advance(50);
  }
  EXPECT_GE(all, 290U) << "three seconds' worth";
  clock_.Advance(1000);
  EventFeed::Batch rest;
  do {
    rest = subscription->Take();
    all += rest.events.size();
    dropped = rest.dropped;
    clock_.Advance(1000);
  } while (!rest.events.empty());
  EXPECT_EQ(all + dropped, static_cast<size_t>(kPublished));
}

TEST_F(EventFeedTest, ExecutionsAndErrorsComeBeforeReplays) {
  const auto subscription = feed_.Subscribe();
  std::map<std::string, int> told;
  for (int turn = 0; turn < 40; ++turn) {
    Flood(Outcome::kReplayed, 1000);
    Tell("executed", Outcome::kExecuted);
    Tell("unknown", http::ErrorCode::kOutcomeUnknown);
    for (const RequestEvent& event : subscription->Take().events) ++told[event.key];
    clock_.Advance(100);
  }
  for (const RequestEvent& event : subscription->Take().events) ++told[event.key];
  EXPECT_EQ(told["executed"], 40);
  EXPECT_EQ(told["unknown"], 40);
  EXPECT_GT(told["flood"], 100) << "replays have what is left";
}

TEST_F(EventFeedTest, WhoFetchesNothingMissesTheOldestAndIsToldSo) {
  const auto slow = feed_.Subscribe();
  const auto quick = feed_.Subscribe();
  for (size_t i = 0; i < EventFeed::kKeptMax + 40; ++i) {
    Tell(std::to_string(i), Outcome::kExecuted);
    clock_.Advance(20);
    EXPECT_EQ(KeysOf(quick->Take()), std::to_string(i) + " ");
  }
  const EventFeed::Batch batch = slow->Take();
  EXPECT_EQ(batch.dropped, 40U);
  ASSERT_EQ(batch.events.size(), EventFeed::kEventsPerSecondMax);
  EXPECT_EQ(batch.events.front().key, "40");
  EXPECT_EQ(quick->Take().dropped, 0U);
}

TEST_F(EventFeedTest, SubscribersAreBoundedAndMakeRoom) {
  std::vector<std::unique_ptr<EventFeed::Subscription>> subscriptions;
  for (size_t i = 0; i < EventFeed::kSubscribersMax; ++i) subscriptions.push_back(feed_.Subscribe());
  EXPECT_EQ(feed_.Subscribe(), nullptr);
  subscriptions.pop_back();
  EXPECT_NE(feed_.Subscribe(), nullptr);
  subscriptions.clear();
  EXPECT_EQ(feed_.subscribers(), 0U);
}

TEST_F(EventFeedTest, ThreadsThatFinishRequestsAndSubscribersThatComeAndGoLoseCountOfNothing) {
  const SystemClock clock;
  EventFeed feed(clock);
  const auto watcher = feed.Subscribe();
  std::atomic<size_t> told{0};
  std::vector<std::thread> threads;
  constexpr size_t kEach = 20'000;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&feed, t] {
      for (size_t i = 0; i < kEach; ++i) {
        feed.Publish({.outcome = t % 2 == 0 ? Outcome::kReplayed : Outcome::kExecuted, .key = "a", .status = 200});
        if (i % 1000 == 0) feed.Subscribe()->Take();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // What is kept but not told yet is neither told nor dropped.
  const EventFeed::Batch batch = watcher->Take();
  told += batch.events.size();
  EXPECT_LE(told + batch.dropped, 4 * kEach);
  EXPECT_GE(told + batch.dropped + EventFeed::kKeptMax + EventFeed::kCommonKeptMax, 4 * kEach);
}

class EventsOfGatewayTest : public GatewayTest {};

TEST_F(EventsOfGatewayTest, OneEventForEachRequestAndClaim) {
  Start();
  const auto subscription = gateway_->meter().feed().Subscribe();
  Post("a").Get();
  Post("a").Get();
  Send("GET", "").Get();
  ClaimRequest claim{.key = ScopedKey("jobs", "b"), .type = "order"};
  claim.owner = ClaimOwner::kSidecar;
  claim.ttl_ms = 60'000;
  claim.lease_ms = 60'000;
  ASSERT_TRUE(gateway_->sidecar().Claim(claim, {}, 0).ok());
  gateway_->CountRefusal(http::ErrorCode::kBadRequest, "192.0.2.9");
  std::string text;
  for (const RequestEvent& event : subscription->Take().events) {
    text += event.scope + "/" + event.key + " " + event.type + " " + event.outcome.label() + " " +
            std::to_string(event.status) + " " + std::to_string(event.attempt) + " " + event.source_ip + "\n";
    EXPECT_EQ(event.duration_us.has_value(), event.outcome.label() != "bad_request") << text;
  }
  EXPECT_EQ(text,
            "default/a webhook executed 200 1 192.0.2.7\n"
            "default/a webhook replayed 200 1 192.0.2.7\n"
            "default/  passed 200 0 192.0.2.7\n"
            "jobs/b order executed 201 1 \n"
            "/  bad_request 400 0 192.0.2.9\n");
}

}  // namespace
}  // namespace oncegate

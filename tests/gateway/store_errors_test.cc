#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

// Whether the application is asked without a thread.
class StoreErrorsTest : public GatewayTest, public testing::WithParamInterface<bool> {
 protected:
  StoreErrorsTest() { upstream_.set_starts(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(By, StoreErrorsTest, testing::Bool(),
                         [](const auto& by) { return by.param ? std::string("Loop") : std::string("Workers"); });

TEST_P(StoreErrorsTest, AStoreThatCannotReadFailsClosed) {
  Start();
  store_.fail_gets = true;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "503 store-unavailable");
  EXPECT_EQ(upstream_.executions(), 0U);
  store_.fail_gets = false;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
}

TEST_P(StoreErrorsTest, AStoreThatCannotClaimFailsClosedAndKeepsReplaying) {
  Start();
  EXPECT_EQ(Verdict(Post("known").Get()), "200 executed");
  store_.fail_claims = true;
  EXPECT_EQ(Verdict(Post("new").Get()), "503 store-unavailable");
  EXPECT_EQ(Verdict(Post("known").Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(StoreErrorsTest, FailingOpenStillElectsOneExecutorAndStillReplays) {
  Start({.on_store_error = StoreErrorPolicy::kForward});
  EXPECT_EQ(Verdict(Post("known").Get()), "200 executed");
  store_.fail_claims = true;
  std::vector<Call> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(PostHeld("new"));
  upstream_.AwaitRequests(2);
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(calls[0].Get()), "200 unprotected");
  for (size_t i = 1; i < calls.size(); ++i) EXPECT_EQ(Verdict(calls[i].Get()), "409 outcome-unknown") << i;
  EXPECT_EQ(upstream_.executions(), 2U);
  EXPECT_EQ(Verdict(Post("known").Get()), "200 replayed");
  store_.fail_gets = true;
  EXPECT_EQ(Verdict(Post("known").Get()), "200 unprotected");
}

// While the store opens its database again it knows its keys as ever, and soon says so.
TEST_P(StoreErrorsTest, ABusyStoreIsWaitedForAndNeverFailsOpen) {
  Start({.on_store_error = StoreErrorPolicy::kForward});
  store_.busy = true;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "503 store-unavailable");
  EXPECT_EQ(upstream_.executions(), 0U);
  store_.busy = false;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
}

TEST_P(StoreErrorsTest, FailingOpenLooksAgainBeforeItExecutes) {
  Start({.on_store_error = StoreErrorPolicy::kForward});
  upstream_.Fail(ForwardEnd::kTimedOut);
  EXPECT_EQ(Verdict(Post("held").Get()), "504 upstream-timeout");
  // Reads fail while this one arrives, and work again when its turn comes: the record's word counts then.
  Call owner = PostHeld("held2");
  upstream_.AwaitRequests(2);
  store_.fail_gets = true;
  Call waiter = Post("held2", "X-Hold: yes\r\n");
  store_.fail_gets = false;
  upstream_.Answer(200, "x");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(owner.Get()), "200 executed");
  EXPECT_EQ(Verdict(waiter.Get()), "200 replayed");
  EXPECT_EQ(Verdict(Post("held").Get()), "409 outcome-unknown");
  EXPECT_EQ(upstream_.executions(), 2U);
}

TEST_P(StoreErrorsTest, ADamagedRecordIsNeverExecutedAgain) {
  Start({.on_store_error = StoreErrorPolicy::kForward});
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  store_.damaged = true;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "503 store-unavailable");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(StoreErrorsTest, AnOperatorsReleaseAndARunningDeliveryExcludeEachOther) {
  Start();
  const ScopedKey key("default", "evt_1");
  EXPECT_FALSE(*gateway_->Forget(key, false));
  Call running = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  EXPECT_EQ(gateway_->Forget(key, false).status().code(), StatusCode::kConflict);
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(running.Get()), "200 executed");
  while (gateway_->IsExecuting(key)) std::this_thread::yield();
  EXPECT_TRUE(*gateway_->Forget(key, false));
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
}

// A disk that stalls where the test wants it to.
class StalledStoreTest : public GatewayTest {
 protected:
  StalledStoreTest() {
    store_.on_call_together = [this](const std::vector<StoreCall>& calls) {
      std::unique_lock lock(mutex_);
      begun_.push_back(calls.size());
      changed_.notify_all();
      changed_.wait(lock, [this] { return begun_.size() <= let_through_; });
    };
  }
  ~StalledStoreTest() override {
    LetThrough(SIZE_MAX);
    gateway_->ShutDown();
  }

  void LetThrough(size_t writes) {
    const std::lock_guard lock(mutex_);
    let_through_ = writes;
    changed_.notify_all();
  }
  size_t AwaitWrites(size_t writes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_.size() >= writes; });
    return begun_[writes - 1];
  }
  static bool Answered(const Call& call) {
    return call.answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<size_t> begun_;  // of how many calls each write was
  size_t let_through_ = 0;
};

TEST_F(StalledStoreTest, NothingIsSentBeforeTheClaimIsWrittenNorAnsweredBeforeTheOutcomeIs) {
  Start();
  Call call = Post("evt_1");
  EXPECT_EQ(AwaitWrites(1), 1U);
  EXPECT_EQ(upstream_.executions(), 0U);
  LetThrough(1);
  EXPECT_EQ(AwaitWrites(2), 1U);
  EXPECT_EQ(upstream_.executions(), 1U);
  EXPECT_FALSE(Answered(call));
  EXPECT_TRUE(gateway_->IsExecuting(ScopedKey("default", "evt_1")));
  LetThrough(2);
  EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

TEST_F(StalledStoreTest, AWriteForManyThatFailsIsToldToEachAndNothingIsSent) {
  Start();
  std::vector<Call> calls;
  calls.push_back(Post("evt_0"));
  AwaitWrites(1);
  for (int i = 1; i < 4; ++i) calls.push_back(Post("evt_" + std::to_string(i)));
  calls.push_back(Post("evt_1"));  // waits for the one before
  store_.fail_claims = true;
  LetThrough(SIZE_MAX);
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(Verdict(calls[i].Get()), "503 store-unavailable") << i;
  EXPECT_EQ(AwaitWrites(2), 3U);
  EXPECT_EQ(upstream_.executions(), 0U);
  store_.fail_claims = false;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Verdict(Post("evt_" + std::to_string(i)).Get()), "200 executed") << i;
}

TEST_F(StalledStoreTest, WhatTheStalledDiskHasNoRoomForIsRefusedAndReplaysGoOn) {
  LetThrough(2);
  Start({}, {.max_in_flight = 6, .workers = 2});
  EXPECT_EQ(Verdict(Post("known").Get()), "200 executed");
  while (gateway_->in_flight() != 0) std::this_thread::yield();
  std::vector<Call> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(Post("evt_" + std::to_string(i)));
  EXPECT_EQ(Verdict(Post("one-more").Get()), "503 overloaded");
  EXPECT_EQ(Verdict(Post("known").Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
  LetThrough(SIZE_MAX);
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(Verdict(calls[i].Get()), "200 executed") << i;
}

TEST_F(StalledStoreTest, ShuttingDownSettlesWhatIsBeingWrittenAndRefusesTheRest) {
  Start({}, {.max_in_flight = 100, .workers = 3});
  LetThrough(1);
  Call answered = Post("answered");
  AwaitWrites(2);  // its outcome
  std::vector<Call> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(Post("evt_" + std::to_string(i)));
  std::thread shut_down([this] { gateway_->ShutDown(); });
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(Verdict(calls[i].Get()), "503 draining") << i;
  EXPECT_FALSE(Answered(answered));
  LetThrough(SIZE_MAX);
  shut_down.join();
  EXPECT_EQ(Verdict(answered.Get()), "200 executed");
  EXPECT_EQ(upstream_.executions(), 1U);
  EXPECT_EQ(store_.claims, 1);
}

TEST_P(StoreErrorsTest, AnOutcomeThatCannotBeStoredIsAnsweredHeldAndStoredLater) {
  Start();
  upstream_.SetScript([this](const OutboundRequest&, ResponseReceiver& receiver) {
    store_.fail_endings = true;  // the disk fills up while the application works
    return ScriptedUpstream::Respond(receiver, 200, "Content-Length: 2\r\n", {"ok"});
  });
  const Seen first = Post("evt_1").Get();
  EXPECT_EQ(Verdict(first), "200 executed");
  EXPECT_EQ(first.body, "ok");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "409 outcome-unknown");
  store_.fail_endings = false;
  Seen later;
  // The housekeeper tries again every second; each of these asks the store.
  do {
    later = Post("evt_1").Get();
  } while (Outcome(later) == "outcome-unknown");
  EXPECT_EQ(Verdict(later), "200 replayed");
  EXPECT_EQ(later.body, "ok");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(StoreErrorsTest, AnUnknownOutcomeThatCannotBeWrittenIsWrittenLater) {
  Start();
  upstream_.SetScript([this](const OutboundRequest&, ResponseReceiver&) {
    store_.fail_endings = true;
    return ForwardResult{ForwardEnd::kBroken, "the connection broke"};
  });
  EXPECT_EQ(Post("evt_1").Get().status, 502);
  const auto state = [this] { return (*store_.Get(ScopedKey("default", "evt_1"), RecordParts::kAll))->state; };
  EXPECT_EQ(state(), RecordState::kInProgress);
  store_.fail_endings = false;
  while (state() != RecordState::kUnknown) std::this_thread::yield();
  EXPECT_EQ(upstream_.executions(), 1U);
}

// Nobody waits for the housekeeper's calls: the metric is where their failures are seen.
TEST_P(StoreErrorsTest, WhatTheHousekeeperCannotWriteCountsAsErrorsOfTheStore) {
  RequestMeter meter(clock_);
  store_.fail_endings = true;
  { Housekeeper(store_, meter, logger_).CountReplay(ScopedKey("default", "evt_1")); }
  EXPECT_EQ(meter.store_errors(), 1U);
  {
    Housekeeper(store_, meter, logger_)
        .StoreLater({ScopedKey("default", "evt_1"), Token{}, UnstoredEnding::End::kReleased, {}});
  }
  EXPECT_GE(meter.store_errors(), 2U) << "it tries at least once more before it ends";
}

TEST_P(StoreErrorsTest, WhatIsUnstoredAtTheEndIsWrittenOnceMore) {
  Start();
  upstream_.SetScript([this](const OutboundRequest&, ResponseReceiver& receiver) {
    store_.fail_endings = true;
    return ScriptedUpstream::Respond(receiver, 200, "Content-Length: 2\r\n", {"ok"});
  });
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  store_.fail_endings = false;
  gateway_->ShutDown();
  gateway_.reset();
  const auto record = store_.Get(ScopedKey("default", "evt_1"), RecordParts::kAll);
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_EQ((*record)->state, RecordState::kCompleted);
}

}  // namespace
}  // namespace oncegate

#include "gateway/gateway.h"

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

// Whether the application is asked without a thread.
class GatewayLifeTest : public GatewayTest, public testing::WithParamInterface<bool> {
 protected:
  GatewayLifeTest() { upstream_.set_starts(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(By, GatewayLifeTest, testing::Bool(),
                         [](const auto& by) { return by.param ? std::string("Loop") : std::string("Workers"); });

TEST_P(GatewayLifeTest, TheFirstDeliveryIsExecutedAndRetriesAreReplayed) {
  Start();
  const Seen first = Post("evt_1").Get();
  EXPECT_EQ(Verdict(first), "200 executed");
  EXPECT_EQ(first.body, "order-1");
  upstream_.Answer(200, "order-2");
  for (int retry = 0; retry < 3; ++retry) {
    const Seen seen = Post("evt_1").Get();
    EXPECT_EQ(Verdict(seen), "200 replayed");
    EXPECT_EQ(seen.body, "order-1");
    EXPECT_NE(seen.head.find("\r\nIdempotency-Replayed: true\r\n"), std::string::npos) << seen.head;
  }
  EXPECT_EQ(upstream_.executions(), 1U);
  EXPECT_EQ(gateway_->meter().Total(Outcome::kExecuted), 1U);
  EXPECT_EQ(gateway_->meter().Total(Outcome::kReplayed), 3U);
}

TEST_P(GatewayLifeTest, TwoHundredConcurrentDuplicatesExecuteOnce) {
  Start();
  std::vector<Call> calls;
  calls.push_back(PostHeld("evt_1"));
  upstream_.AwaitRequests(1);
  for (int i = 1; i < 200; ++i) calls.push_back(PostHeld("evt_1"));
  upstream_.OpenGate();
  int executed = 0;
  for (Call& call : calls) {
    const Seen seen = call.Get();
    EXPECT_EQ(seen.body, "order-1");
    executed += Outcome(seen) == "executed" ? 1 : 0;
  }
  EXPECT_EQ(executed, 1);
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(GatewayLifeTest, AThousandWaitersOnOneKeyHoldNoWorker) {
  Start({}, {.max_in_flight = 1100, .workers = 2});
  std::vector<Call> held;
  for (int i = 0; i < 1000; ++i) held.push_back(PostHeld("slow"));
  upstream_.AwaitRequests(1);
  EXPECT_EQ(Verdict(Post("fast").Get()), "200 executed") << "while " << gateway_->in_flight() << " are in flight";
  upstream_.OpenGate();
  for (Call& call : held) EXPECT_EQ(call.Get().status, 200);
  EXPECT_EQ(upstream_.executions(), 2U);
}

TEST_P(GatewayLifeTest, ADifferentRequestWithTheSameKeyIsRefusedWhileInFlightAndAfter) {
  Start();
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  EXPECT_EQ(Verdict(Post("evt_1", "X-Hold: yes\r\n", "{\"other\":1}").Get()), "422 key-reused");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("evt_1", "", "{\"other\":1}").Get()), "422 key-reused");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(GatewayLifeTest, ARestoredStoreThatHoldsRefusesWhatItDoesNotKnow) {
  Start();
  EXPECT_EQ(Verdict(Post("known").Get()), "200 executed");
  ASSERT_TRUE(gateway_->WaitUntilIdle(10'000));
  store_.restored = {.policy = RestoredPolicy::kHold};
  EXPECT_EQ(Verdict(Post("known").Get()), "200 replayed");
  EXPECT_EQ(Verdict(Post("absent").Get()), "503 store-unavailable");
  EXPECT_EQ(Verdict(Post("absent").Get()), "503 store-unavailable");
  EXPECT_EQ(upstream_.executions(), 1U);
}

// Failing open is for stores that know nothing for a while, not for one that is known to have forgotten.
TEST_P(GatewayLifeTest, ARestoredStoreThatHoldsNeverFailsOpen) {
  store_.restored = {.policy = RestoredPolicy::kHold};
  Start({.on_store_error = StoreErrorPolicy::kForward});
  store_.fail_gets = true;
  EXPECT_EQ(Verdict(Post("absent").Get()), "503 store-unavailable");
  store_.fail_gets = false;
  store_.fail_claims = true;
  EXPECT_EQ(Verdict(Post("absent").Get()), "503 store-unavailable");
  EXPECT_EQ(upstream_.executions(), 0U);
}

TEST_P(GatewayLifeTest, ARestoredStoreThatAcceptsTellsTheApplication) {
  store_.restored = {.policy = RestoredPolicy::kAccept};
  Start();
  EXPECT_EQ(Verdict(Post("absent").Get()), "200 executed");
  EXPECT_NE(upstream_.heads().back().find("\r\nOncegate-Possible-Duplicate: restored\r\n"), std::string::npos);
}

TEST_P(GatewayLifeTest, MismatchesReplayWhereThePolicySaysSo) {
  Start({.on_mismatch = MismatchPolicy::kReplay});
  EXPECT_EQ(Verdict(Post("evt_1", "", "attempt 1").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("evt_1", "", "attempt 2").Get()), "200 replayed");
}

TEST_P(GatewayLifeTest, InWebhookModeAFailureReleasesTheKey) {
  Start();
  upstream_.Answer(500, "boom");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "500 executed");
  upstream_.Answer(200, "fine");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 replayed");
  for (const std::string& head : upstream_.heads())
    EXPECT_NE(head.find("\r\nOncegate-Attempt: 1\r\n"), std::string::npos) << head;
}

TEST_P(GatewayLifeTest, InApiModeAFailureIsTheAnswer) {
  Start({.final_status = StatusSet::DefaultFinal(Mode::kApi)});
  upstream_.Answer(500, "boom");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "500 executed");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "500 replayed");
  upstream_.Answer(429, "later");
  EXPECT_EQ(Verdict(Post("evt_2").Get()), "429 executed");
  EXPECT_EQ(Verdict(Post("evt_2").Get()), "429 executed");
  EXPECT_EQ(upstream_.executions(), 3U);
}

TEST_P(GatewayLifeTest, WhenTheOwnerReleasesOneWaiterExecutesAndTheRestWait) {
  Start();
  upstream_.Answer(503, "not now");
  std::vector<Call> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(PostHeld("evt_1"));
  upstream_.AwaitRequests(1);
  std::atomic<int> answers{0};
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    const int status = answers++ == 0 ? 503 : 200;
    return ScriptedUpstream::Respond(receiver, status, "Content-Length: 1\r\n", {"x"});
  });
  upstream_.OpenGate();
  int replayed = 0;
  for (Call& call : calls) replayed += Verdict(call.Get()) == "200 replayed" ? 1 : 0;
  EXPECT_EQ(replayed, 8) << "one got 503, one 200 by execution";
  EXPECT_EQ(upstream_.executions(), 2U);
}

TEST_P(GatewayLifeTest, WaitersOfAnUnknownOutcomeNeverExecuteAndLaterArrivalsFollowThePolicy) {
  Start({.on_unknown = UnknownPolicy::kRelease});
  upstream_.Fail(ForwardEnd::kTimedOut);
  std::vector<Call> calls;
  calls.push_back(PostHeld("evt_1"));
  upstream_.AwaitRequests(1);
  for (int i = 0; i < 5; ++i) calls.push_back(PostHeld("evt_1"));
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(calls[0].Get()), "504 upstream-timeout");
  for (size_t i = 1; i < calls.size(); ++i) EXPECT_EQ(Verdict(calls[i].Get()), "409 outcome-unknown") << i;
  EXPECT_EQ(upstream_.executions(), 1U);
  upstream_.Answer(200, "done");
  EXPECT_EQ(Verdict(Post("evt_1", "X-Hold: yes\r\n").Get()), "200 executed");
  EXPECT_NE(upstream_.heads()[1].find("\r\nOncegate-Attempt: 2\r\n"), std::string::npos) << upstream_.heads()[1];
}

TEST_P(GatewayLifeTest, AnUnknownOutcomeIsHeld) {
  Start();
  for (const auto& [end, verdict] : {std::pair{ForwardEnd::kTimedOut, "504 upstream-timeout"},
                                     std::pair{ForwardEnd::kBroken, "502 upstream-broken"}}) {
    upstream_.Fail(end);
    const std::string key = "evt_" + std::to_string(static_cast<int>(end));
    EXPECT_EQ(Verdict(Post(key).Get()), verdict);
    upstream_.Answer(200, "x");
    EXPECT_EQ(Verdict(Post(key).Get()), "409 outcome-unknown") << verdict;
  }
  EXPECT_EQ(upstream_.executions(), 2U);
}

TEST_P(GatewayLifeTest, WhatWasNeverSentIsReleased) {
  Start();
  upstream_.Fail(ForwardEnd::kNotSent);
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "502 upstream-unreachable");
  upstream_.Answer(200, "x");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
}

TEST_P(GatewayLifeTest, AnUnknownStatusOfAnInnerProxyHolds) {
  Start({.unknown_status = StatusSet::Parse("504").value()});
  upstream_.Answer(504, "inner");
  const Seen seen = Post("evt_1").Get();
  EXPECT_EQ(Verdict(seen), "504 executed");
  EXPECT_EQ(seen.body, "inner");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "409 outcome-unknown");
}

TEST_P(GatewayLifeTest, TheApplicationCanSayThatNothingIsToBeRemembered) {
  Start();
  upstream_.Answer(200, "x", "Oncegate-Store: no\r\n");
  const Seen seen = Post("evt_1").Get();
  EXPECT_EQ(Verdict(seen), "200 executed");
  EXPECT_EQ(seen.head.find("Oncegate-Store"), std::string::npos) << seen.head;
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 executed");
}

TEST_P(GatewayLifeTest, RejectInsteadOfWaitingWithTheSendersBusyStatus) {
  Start({.on_in_flight = InFlightPolicy::kReject, .busy_status = 503});
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  const Seen second = PostHeld("evt_1").Get();
  EXPECT_EQ(Verdict(second), "503 in-flight");
  EXPECT_NE(second.head.find("\r\nRetry-After: 1\r\n"), std::string::npos) << second.head;
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
}

TEST_P(GatewayLifeTest, AWaitEndsWithItsBudget) {
  Start({.in_flight_wait_ms = 20});
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  EXPECT_EQ(Verdict(PostHeld("evt_1").Get()), "409 in-flight");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
}

TEST_P(GatewayLifeTest, AWaiterWhoseClientIsGoneIsNeverElected) {
  Start();
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  Call waiter = PostHeld("evt_1");
  waiter.state->gone = true;
  upstream_.Answer(500, "failed");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "500 executed");
  EXPECT_EQ(Verdict(waiter.Get()), "409 in-flight");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(GatewayLifeTest, AClientThatHangsUpCancelsNothing) {
  Start();
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  first.state->gone = true;
  upstream_.OpenGate();
  first.Get();
  EXPECT_EQ(Verdict(Post("evt_1", "X-Hold: yes\r\n").Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(GatewayLifeTest, MissingAndInvalidKeys) {
  Start();
  EXPECT_EQ(Verdict(Send("POST", "").Get()), "200 unkeyed");
  EXPECT_EQ(Verdict(Send("POST", "Idempotency-Key: \r\n").Get()), "200 unkeyed");
  EXPECT_EQ(Verdict(Send("POST", "Idempotency-Key: a b\r\n").Get()), "400 invalid-key");
  EXPECT_EQ(Verdict(Send("POST", "Idempotency-Key: a\r\nIdempotency-Key: a\r\n").Get()), "400 invalid-key");
  EXPECT_EQ(Verdict(Send("GET", "Idempotency-Key: a\r\n").Get()), "200 passed");
  EXPECT_EQ(store_.claims, 0);

  Route route;
  route.on_missing_key = MissingKeyPolicy::kReject;
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(route)));
  EXPECT_EQ(Verdict(Send("POST", "").Get()), "400 missing-key");
  route.on_missing_key = MissingKeyPolicy::kHash;
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(route)));
  EXPECT_EQ(Verdict(Send("POST", "", "same").Get()), "200 executed");
  EXPECT_EQ(Verdict(Send("POST", "", "same").Get()), "200 replayed");
  EXPECT_EQ(Verdict(Send("POST", "", "other").Get()), "200 executed");
}

TEST_P(GatewayLifeTest, BothFormsOfAKeyAreTheSame) {
  Start();
  EXPECT_EQ(Verdict(Send("POST", "Idempotency-Key: \"abc\"\r\n").Get()), "200 executed");
  EXPECT_EQ(Verdict(Send("POST", "X-Idempotency-Key: abc\r\n").Get()), "200 replayed");
}

TEST_P(GatewayLifeTest, TheScopeHeaderKeepsClientsApart) {
  Start({.scope_header = "Authorization"});
  EXPECT_EQ(Verdict(Post("k", "Authorization: Bearer alice\r\n").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("k", "Authorization: Bearer bob\r\n").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("k", "Authorization: Bearer alice\r\n").Get()), "200 replayed");
  EXPECT_EQ(Verdict(Post("k").Get()), "200 executed");
  // Which of two lines the application believes is not known: both count.
  EXPECT_EQ(Verdict(Post("k", "Authorization: Bearer alice\r\nAuthorization: Bearer bob\r\n").Get()), "200 executed");
}

TEST_P(GatewayLifeTest, LargeBodiesAreReadOnAWorker) {
  Start();
  const std::string body(3 << 20, 'x');
  EXPECT_EQ(Verdict(Post("big", "", body).Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("big", "", body).Get()), "200 replayed");
  EXPECT_EQ(Verdict(Post("big", "", body + "x").Get()), "422 key-reused");
}

TEST_P(GatewayLifeTest, KeysTypesAndLabelsComeFromTheBody) {
  Route route;
  route.key_headers.clear();
  route.key_pointers = {JsonPointer::Parse("/id").value()};
  route.type_pointer = JsonPointer::Parse("/type").value();
  route.labels = {{"order_id", JsonPointer::Parse("/data/order").value()}};
  Start(route);
  const std::string body = R"({"id":"evt_7","type":"order.created","data":{"order":42}})";
  EXPECT_EQ(Verdict(Send("POST", "Idempotency-Key: ignored\r\n", body).Get()), "200 executed");
  const auto record = store_.Get(ScopedKey("default", "evt_7"), RecordParts::kAll);
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_EQ((*record)->type, "order.created");
  EXPECT_EQ((*record)->labels, (Labels{{"order_id", "42"}}));
  EXPECT_EQ((*record)->source_ip, "192.0.2.7");
  EXPECT_EQ(Verdict(Send("POST", "", "not json").Get()), "200 unkeyed");
}

TEST_P(GatewayLifeTest, WithDedupeOffItIsAProxy) {
  Start({.dedupe = Dedupe::kOff});
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 passed");
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "200 passed");
  EXPECT_EQ(store_.claims, 0);
}

TEST_P(GatewayLifeTest, BeyondMaxInFlightRequestsAreShedAndReplaysGoOn) {
  Start({}, {.max_in_flight = 3, .workers = 1});
  EXPECT_EQ(Verdict(Post("known").Get()), "200 executed");
  while (gateway_->in_flight() > 0) std::this_thread::yield();
  std::vector<Call> held;
  for (const char* key : {"a", "b", "c"}) held.push_back(PostHeld(key));
  upstream_.AwaitRequests(2);
  EXPECT_EQ(Verdict(Post("d").Get()), "503 overloaded");
  EXPECT_EQ(Verdict(Post("known").Get()), "200 replayed");
  upstream_.OpenGate();
  for (Call& call : held) EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

TEST_P(GatewayLifeTest, DrainingFinishesWhatIsInFlightAndRefusesTheRest) {
  Start();
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  gateway_->StartDraining();
  EXPECT_EQ(Verdict(Post("evt_2").Get()), "503 draining");
  EXPECT_FALSE(gateway_->WaitUntilIdle(0));
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
  EXPECT_TRUE(gateway_->WaitUntilIdle(60'000));
}

TEST_P(GatewayLifeTest, ShutDownLeavesWhatWasSentUnknown) {
  Start({}, {.max_in_flight = 100, .workers = 1});
  Call sent = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  Call waiter = PostHeld("evt_1");
  Call queued = PostHeld("evt_2");
  gateway_->ShutDown();
  EXPECT_EQ(Verdict(sent.Get()), "502 upstream-broken");
  EXPECT_EQ(waiter.Get().status / 100, 4);
  EXPECT_EQ(Verdict(queued.Get()), "503 draining");
  const auto record = store_.Get(ScopedKey("default", "evt_1"), RecordParts::kAll);
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_EQ((*record)->state, RecordState::kUnknown);
  EXPECT_FALSE(store_.Get(ScopedKey("default", "evt_2"), RecordParts::kAll)->has_value());
}

}  // namespace
}  // namespace oncegate

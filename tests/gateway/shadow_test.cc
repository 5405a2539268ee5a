// --dedupe shadow: what happens to requests is what a pure proxy would do, whatever is decided.

#include "gateway/shadow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "gateway/provider.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/support/provider_signer.h"

namespace oncegate {
namespace {

class ShadowTest : public GatewayTest {
 protected:
  static Route ShadowRoute() { return {.dedupe = Dedupe::kShadow}; }
  // The answer, once what there was to remember is remembered.
  Seen Settled(Call call, const std::string& key) {
    Seen seen = call.Get();
    while (gateway_->IsExecuting(ScopedKey("default", key))) std::this_thread::yield();
    return seen;
  }
  Seen Deliver(const std::string& key, std::string body = "{}") { return Settled(Post(key, "", std::move(body)), key); }
  uint64_t Count(ShadowDecision decision) const { return gateway_->shadow().Totals()[static_cast<size_t>(decision)]; }
  std::optional<Record> RecordOf(const std::string& key) {
    return *store_.Get(ScopedKey("default", key), RecordParts::kAll);
  }
};

TEST_F(ShadowTest, EveryDeliveryIsForwardedAndWhatItIsIsCounted) {
  Start(ShadowRoute());
  EXPECT_EQ(Verdict(Deliver("evt_1")), "200 passed");
  EXPECT_EQ(Verdict(Deliver("evt_1")), "200 passed");
  EXPECT_EQ(Verdict(Deliver("evt_1", "{\"other\":1}")), "200 passed");
  EXPECT_EQ(Verdict(Send("POST", "").Get()), "200 passed");
  EXPECT_EQ(Verdict(Post("no good").Get()), "200 passed");
  EXPECT_EQ(Verdict(Send("GET", "Idempotency-Key: evt_1\r\n", "").Get()), "200 passed");
  EXPECT_EQ(upstream_.executions(), 6U);
  for (const std::string& head : upstream_.heads()) {
    EXPECT_THAT(head, testing::Not(testing::HasSubstr("Oncegate-"))) << "a pure proxy adds none";
  }
  EXPECT_EQ(Count(ShadowDecision::kExecute), 1U);
  EXPECT_EQ(Count(ShadowDecision::kReplay), 1U);
  EXPECT_EQ(Count(ShadowDecision::kMismatch), 1U);
  EXPECT_EQ(Count(ShadowDecision::kMissingKey), 1U);
  EXPECT_EQ(Count(ShadowDecision::kInvalidKey), 1U);
  EXPECT_EQ(gateway_->shadow().ByScope().size(), 1U);
  EXPECT_EQ(gateway_->shadow().ByScope().begin()->first, "default");
  EXPECT_EQ(gateway_->housekeeper().PendingReplays(ScopedKey("default", "evt_1")).count, 1U);
}

TEST_F(ShadowTest, ALaterOnKnowsWhatWasExecuted) {
  Start(ShadowRoute());
  upstream_.Answer(201, std::string(200'000, 'x'), "X-One: 1\r\n");
  Deliver("large");
  upstream_.Answer(200, "small");
  Deliver("small");
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>()));
  const Seen large = Post("large").Get();
  EXPECT_EQ(Verdict(large), "201 replayed");
  EXPECT_EQ(large.body, std::string(200'000, 'x')) << "answers that flow are remembered too";
  EXPECT_EQ(Post("small").Get().body, "small");
  EXPECT_EQ(Verdict(Post("new").Get()), "200 executed");
  EXPECT_EQ(upstream_.executions(), 3U);
}

TEST_F(ShadowTest, ConcurrentDuplicatesDoNotWait) {
  Start(ShadowRoute());
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  Call second = PostHeld("evt_1");
  upstream_.AwaitRequests(2);
  EXPECT_EQ(Count(ShadowDecision::kWait), 1U);
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 passed");
  EXPECT_EQ(Verdict(Settled(std::move(second), "evt_1")), "200 passed");
  EXPECT_EQ(RecordOf("evt_1")->attempt, 1U);
}

TEST_F(ShadowTest, WhoeverComesAfterTheSwitchWaitsForWhatIsUnderWay) {
  Start(ShadowRoute());
  Call first = PostHeld("evt_1");
  upstream_.AwaitRequests(1);
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>()));
  Call second = PostHeld("evt_1");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 passed");
  EXPECT_EQ(Verdict(second.Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(ShadowTest, AnswersThatAreNotFinalAreNotRemembered) {
  Start(ShadowRoute());
  upstream_.Answer(500, "no");
  EXPECT_EQ(Verdict(Deliver("evt_1")), "500 passed");
  upstream_.Fail(ForwardEnd::kNotSent);
  EXPECT_EQ(Deliver("evt_1").status, 502);
  EXPECT_FALSE(RecordOf("evt_1"));
  EXPECT_EQ(Count(ShadowDecision::kExecute), 2U) << "their retries would be executed, and are no duplicates";
}

TEST_F(ShadowTest, AnUnknownOutcomeIsSettledByTheNextExecution) {
  Start(ShadowRoute());
  upstream_.Fail(ForwardEnd::kBroken);
  EXPECT_EQ(Deliver("evt_1").status, 502);
  EXPECT_EQ(RecordOf("evt_1")->state, RecordState::kUnknown);
  EXPECT_FALSE(RecordOf("evt_1")->hold_unknown) << "nobody settles what is only watched";
  upstream_.Answer(200, "done");
  EXPECT_EQ(Verdict(Deliver("evt_1")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kUnknown), 1U);
  EXPECT_EQ(RecordOf("evt_1")->state, RecordState::kCompleted);
  EXPECT_EQ(RecordOf("evt_1")->attempt, 2U);
}

TEST_F(ShadowTest, NoErrorOfTheStoreChangesAnAnswer) {
  Start(ShadowRoute());
  store_.fail_gets = true;
  EXPECT_EQ(Verdict(Deliver("a")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kStoreError), 1U);
  store_.fail_gets = false;
  store_.fail_claims = true;
  EXPECT_EQ(Verdict(Deliver("b")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kStoreError), 2U);
  store_.fail_claims = false;
  store_.fail_endings = true;
  EXPECT_EQ(Verdict(Deliver("c")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kStoreError), 3U);
  store_.fail_endings = false;
  store_.damaged = true;
  EXPECT_EQ(Verdict(Deliver("d")), "200 passed");
  store_.damaged = false;
  store_.restored = RestoredState{.policy = RestoredPolicy::kHold};
  EXPECT_EQ(Verdict(Deliver("e")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kRefuse), 1U);
  EXPECT_EQ(upstream_.executions(), 5U);
}

TEST_F(ShadowTest, SignaturesThatDoNotHoldAreCountedAndForwarded) {
  const Profile& github = *FindProfile("github");
  auto provider = std::make_shared<ProviderRoute>();
  provider->profile = std::make_shared<const Profile>(github);
  provider->verifier.emplace(*SignatureVerifier::Create(*provider->profile, github.sample->secret, {}));
  Route route = ShadowRoute();
  route.key_headers.clear();
  route.provider = std::move(provider);
  Start(route);
  ProviderDelivery good = Sign(github, SampleOf(github), github.sample->secret, "", 0);
  ProviderDelivery forged = good;
  forged.body += " ";
  for (const ProviderDelivery* delivery : {&good, &good, &forged}) {
    std::string lines;
    for (const auto& [name, value] : delivery->headers) lines += name + ": " + value + "\r\n";
    EXPECT_EQ(Verdict(Settled(Send("POST", lines, delivery->body, delivery->target), github.sample->key)),
              "200 passed");
  }
  EXPECT_EQ(Verdict(Send("POST", "", "{}", "/a/../b").Get()), "200 passed");
  EXPECT_EQ(Verdict(Send("PUT", "", "{}", "/a").Get()), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kExecute), 1U);
  EXPECT_EQ(Count(ShadowDecision::kReplay), 1U);
  EXPECT_EQ(Count(ShadowDecision::kSignature), 1U);
  EXPECT_EQ(Count(ShadowDecision::kRefuse), 2U);
}

TEST_F(ShadowTest, ASidecarsClaimIsSeenAndNotWaitedFor) {
  Start(ShadowRoute());
  ClaimRequest claim{.key = ScopedKey("default", "evt_1"), .type = "t", .owner = ClaimOwner::kSidecar};
  claim.ttl_ms = claim.lease_ms = 60'000;
  ASSERT_TRUE(gateway_->sidecar().Claim(claim, {}, 0).ok());
  EXPECT_EQ(Verdict(Deliver("evt_1")), "200 passed");
  EXPECT_EQ(Count(ShadowDecision::kWait), 1U);
  EXPECT_EQ(RecordOf("evt_1")->owner, ClaimOwner::kSidecar) << "it is left alone";
}

}  // namespace
}  // namespace oncegate

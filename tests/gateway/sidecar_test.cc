#include "gateway/sidecar.h"

#include <map>
#include <thread>

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

// What became of a claim, in a word.
std::string WordFor(const Result<ClaimResult>& result) {
  if (!result.ok()) return "error";
  if (std::holds_alternative<Claimed>(*result)) return "execute";
  const Decision& decision = std::get<Refused>(*result).decision;
  if (std::holds_alternative<Replay>(decision)) return "replay";
  if (std::holds_alternative<InFlight>(decision)) return "in-flight";
  if (std::holds_alternative<OutcomeUnknown>(decision)) return "unknown";
  return "refused";
}

class SidecarTest : public GatewayTest {
 protected:
  explicit SidecarTest(size_t workers = 4) { Start(Patient(), {.max_in_flight = 1024, .workers = workers}); }

  static Route Patient() {
    Route route;
    route.in_flight_wait_ms = 60'000;
    return route;
  }
  static ClaimRequest ClaimOf(const std::string& key, int64_t lease_ms = 60'000) {
    ClaimRequest claim;
    claim.key = ScopedKey("default", key);
    claim.type = "order";
    claim.owner = ClaimOwner::kSidecar;
    claim.ttl_ms = 60'000;
    claim.lease_ms = lease_ms;
    return claim;
  }
  static StoredResponse Answer(const std::string& body) {
    return {.status = 200,
            .head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n",
            .body = body};
  }
  Sidecar& sidecar() { return gateway_->sidecar(); }
  Claimed MustClaim(const ClaimRequest& claim) {
    const Result<ClaimResult> result = sidecar().Claim(claim, {}, 0);
    EXPECT_EQ(WordFor(result), "execute") << claim.key.key();
    return result.ok() && std::holds_alternative<Claimed>(*result) ? std::get<Claimed>(*result) : Claimed{};
  }
  std::future<std::string> ClaimLater(const ClaimRequest& claim, int64_t wait_ms) {
    return std::async(std::launch::async, [=, this] { return WordFor(sidecar().Claim(claim, {}, wait_ms)); });
  }
  // What ClaimTogether answers, once it does; nothing if the claim has to wait.
  std::optional<Result<ClaimResult>> Together(const ClaimRequest& claim, bool waits, const RequestFacts& facts = {}) {
    std::promise<std::optional<Result<ClaimResult>>> promise;
    sidecar().ClaimTogether(claim, facts, waits, {},
                            [&](std::optional<Result<ClaimResult>> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  std::string TogetherWord(const ClaimRequest& claim, bool waits, const RequestFacts& facts = {}) {
    const auto result = Together(claim, waits, facts);
    return result ? WordFor(*result) : "has to wait";
  }
  Status CompleteTogether(const Token& token, const StoredResponse& response) {
    std::promise<Status> promise;
    sidecar().CompleteTogether(token, response, [&](const Status& status) { promise.set_value(status); });
    return promise.get_future().get();
  }
};

TEST_F(SidecarTest, ADeliveryWaitsForAClaimAndReplaysItsOutcome) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  Call first = Post("a");
  Call second = Post("a");
  ASSERT_TRUE(sidecar().Complete(claimed.token, Answer("done by hand")).ok());
  for (Call* call : {&first, &second}) {
    const Seen seen = call->Get();
    EXPECT_EQ(Verdict(seen), "200 replayed");
    EXPECT_EQ(seen.body, "done by hand");
  }
  EXPECT_EQ(upstream_.executions(), 0U);
}

class OneSlotTest : public SidecarTest {
 protected:
  OneSlotTest() : SidecarTest(1) {}
};

// It looked before the claim was made, and finds it when it claims itself.
TEST_F(OneSlotTest, ADeliveryThatMeetsALeaseOnlyWhenItClaimsWaitsForItAsWell) {
  Call busy = PostHeld("busy");
  upstream_.AwaitRequests(1);
  Call waits = Post("a");  // for the one slot, with its permit
  const Result<ClaimResult> claimed = store_.Claim(ClaimOf("a"), {});
  ASSERT_EQ(WordFor(claimed), "execute");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(busy.Get()), "200 executed");
  AwaitEnd(ScopedKey("default", "a"));
  ASSERT_TRUE(sidecar().Complete(std::get<Claimed>(*claimed).token, Answer("done by hand")).ok());
  const Seen seen = waits.Get();
  EXPECT_EQ(Verdict(seen), "200 replayed");
  EXPECT_EQ(seen.body, "done by hand");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(SidecarTest, ADeliveryExecutesWhatAClaimReleases) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  Call first = Post("a");
  Call second = Post("a");
  ASSERT_TRUE(sidecar().Release(claimed.token).ok());
  std::map<std::string, int> verdicts;
  ++verdicts[Verdict(first.Get())];
  ++verdicts[Verdict(second.Get())];
  EXPECT_EQ(verdicts, (std::map<std::string, int>{{"200 executed", 1}, {"200 replayed", 1}}));
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(SidecarTest, ADeliveryThatMayNotWaitIsRefusedWhileAClaimLives) {
  Route route;
  route.on_in_flight = InFlightPolicy::kReject;
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(route)));
  MustClaim(ClaimOf("a"));
  EXPECT_EQ(Verdict(Post("a").Get()), "409 in-flight");
  EXPECT_EQ(upstream_.executions(), 0U);
}

TEST_F(SidecarTest, ThoseWhoWaitedWhenALeaseEndsDoNotExecute) {
  Route route = Patient();
  route.on_unknown = UnknownPolicy::kRelease;
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(route)));
  MustClaim(ClaimOf("a", 1000));
  Call waits = Post("a");
  EXPECT_EQ(Verdict(waits.Get()), "409 outcome-unknown");
  EXPECT_EQ(Verdict(Post("a").Get()), "200 executed") << "a later arrival may, under 'release'";
}

TEST_F(SidecarTest, OneOfThoseWhoWaitedRunsAgainWhatWasClaimedForThat) {
  ClaimRequest claim = ClaimOf("a", 20);
  claim.on_lease_expiry = LeaseExpiry::kRerun;
  MustClaim(claim);
  Call first = Post("a");
  Call second = Post("a");
  std::map<std::string, int> verdicts;
  ++verdicts[Verdict(first.Get())];
  ++verdicts[Verdict(second.Get())];
  EXPECT_EQ(verdicts, (std::map<std::string, int>{{"200 executed", 1}, {"200 replayed", 1}}));
  ASSERT_EQ(upstream_.executions(), 1U);
  EXPECT_NE(upstream_.heads()[0].find("Oncegate-Attempt: 2\r\n"), std::string::npos) << upstream_.heads()[0];
}

TEST_F(SidecarTest, AClaimIsRefusedOrWaitsWhileADeliveryIsExecuted) {
  Call call = PostHeld("a");
  upstream_.AwaitRequests(1);
  EXPECT_EQ(WordFor(sidecar().Claim(ClaimOf("a"), {}, 0)), "in-flight");
  EXPECT_EQ(WordFor(sidecar().Claim(ClaimOf("a"), {}, 1)), "in-flight");
  std::future<std::string> waits = ClaimLater(ClaimOf("a"), 60'000);
  upstream_.OpenGate();
  EXPECT_EQ(waits.get(), "replay");
  EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

TEST_F(SidecarTest, TogetherWithOthersAClaimIsAnsweredAsByItself) {
  const auto first = Together(ClaimOf("a"), false);
  ASSERT_TRUE(first);
  ASSERT_EQ(WordFor(*first), "execute");
  EXPECT_EQ(TogetherWord(ClaimOf("a"), false), "in-flight");
  EXPECT_EQ(TogetherWord(ClaimOf("a"), true), "has to wait");
  const Token token = std::get<Claimed>(**first).token;
  EXPECT_EQ(CompleteTogether(Token{}, Answer("x")).code(), StatusCode::kConflict);
  ASSERT_TRUE(CompleteTogether(token, Answer("x")).ok());
  EXPECT_TRUE(CompleteTogether(token, Answer("x")).ok()) << "the same once more is harmless";
  EXPECT_EQ(CompleteTogether(token, Answer("y")).code(), StatusCode::kConflict);
  EXPECT_EQ(TogetherWord(ClaimOf("a"), true), "replay");
  const auto facts_of = [](std::string_view body) {
    RequestFacts facts;
    facts.fingerprint = MakeFingerprint(FingerprintRecipe::kWholeRequest, {.method = {}, .target = {}, .body = body});
    return facts;
  };
  EXPECT_EQ(TogetherWord(ClaimOf("b"), false, facts_of("its own")), "execute");
  EXPECT_EQ(TogetherWord(ClaimOf("b"), true, facts_of("another")), "refused");
  const RequestMeter& meter = gateway_->meter();
  EXPECT_EQ(meter.Total(Outcome::kExecuted), 2U);
  EXPECT_EQ(meter.Total(Outcome::kReplayed), 1U);
  EXPECT_EQ(meter.Total(http::ErrorCode::kInFlight), 1U) << "who has to wait is counted when he is answered";
  store_.fail_claims = true;
  EXPECT_EQ(TogetherWord(ClaimOf("c"), true), "error");
  EXPECT_FALSE(gateway_->IsExecuting(ScopedKey("default", "c"))) << "its permit has ended";
}

TEST_F(SidecarTest, TogetherWithOthersAClaimDoesNotWaitForADelivery) {
  Call call = PostHeld("a");
  upstream_.AwaitRequests(1);
  EXPECT_EQ(TogetherWord(ClaimOf("a"), false), "in-flight");
  EXPECT_EQ(TogetherWord(ClaimOf("a"), true), "has to wait");
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

TEST_F(SidecarTest, ACompletionTogetherWithOthersWakesThoseWhoWait) {
  const auto claimed = Together(ClaimOf("a"), false);
  ASSERT_TRUE(claimed && WordFor(*claimed) == "execute");
  Call waits = Post("a");
  ASSERT_TRUE(CompleteTogether(std::get<Claimed>(**claimed).token, Answer("done by hand")).ok());
  const Seen seen = waits.Get();
  EXPECT_EQ(Verdict(seen), "200 replayed");
  EXPECT_EQ(seen.body, "done by hand");
}

TEST_F(SidecarTest, AClaimWaitsForAnother) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  std::future<std::string> waits = ClaimLater(ClaimOf("a"), 60'000);
  ASSERT_TRUE(sidecar().Complete(claimed.token, Answer("x")).ok());
  EXPECT_EQ(waits.get(), "replay");

  MustClaim(ClaimOf("b", 20));
  EXPECT_EQ(WordFor(sidecar().Claim(ClaimOf("b"), {}, 60'000)), "unknown");
}

TEST_F(SidecarTest, OnlySoManyClaimsWait) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  std::vector<std::future<std::string>> waiting;
  for (size_t i = 0; i < Sidecar::kWaitingMax + 4; ++i) waiting.push_back(ClaimLater(ClaimOf("a"), 60'000));
  // Those without a place return by themselves; the others only once the claim is completed.
  size_t refused = 0;
  while (refused < 4) {
    refused = 0;
    for (auto& one : waiting) {
      if (one.wait_for(std::chrono::milliseconds(1)) == std::future_status::ready) ++refused;
    }
  }
  ASSERT_TRUE(sidecar().Complete(claimed.token, Answer("x")).ok());
  std::map<std::string, int> words;
  for (auto& one : waiting) ++words[one.get()];
  EXPECT_EQ(words, (std::map<std::string, int>{{"in-flight", 4}, {"replay", 8}}));
}

TEST_F(SidecarTest, AClaimWhoseClientLeftIsNotMade) {
  const Claimed first = MustClaim(ClaimOf("a"));
  std::atomic<bool> gone{false};
  std::future<std::string> second = std::async(std::launch::async, [&] {
    return WordFor(sidecar().Claim(ClaimOf("a"), {}, 60'000, [&gone] { return gone.load(); }));
  });
  gone = true;
  // It gives its place up although nothing has happened to the key.
  EXPECT_EQ(second.get(), "in-flight");
  ASSERT_TRUE(sidecar().Release(first.token).ok());
  EXPECT_FALSE(store_.Get(ScopedKey("default", "a"), RecordParts::kAll)->has_value());
  EXPECT_EQ(MustClaim(ClaimOf("a")).attempt, 1U);
}

TEST_F(SidecarTest, AShutDownEndsWaits) {
  MustClaim(ClaimOf("a"));
  std::future<std::string> waits = ClaimLater(ClaimOf("a"), 60'000);
  while (waits.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) gateway_->ShutDown();
  const std::string word = waits.get();
  EXPECT_TRUE(word == "error" || word == "in-flight") << word;
}

TEST_F(SidecarTest, AnOperatorsReleaseWakesThoseWhoWait) {
  MustClaim(ClaimOf("a"));
  Call call = Post("a");
  EXPECT_EQ(gateway_->Forget(ScopedKey("default", "a"), false).status().code(), StatusCode::kConflict);
  ASSERT_TRUE(gateway_->Forget(ScopedKey("default", "a"), true).ok());
  EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

TEST_F(SidecarTest, RedeliversWhatIsUnknown) {
  upstream_.Fail(ForwardEnd::kBroken);
  EXPECT_EQ(Verdict(Post("a", "X-Signature: s\r\nAuthorization: secret\r\n", "the body").Get()), "502 upstream-broken");
  upstream_.Answer(503, "not now");
  const ScopedKey key("default", "a");
  AwaitEnd(key);
  const auto redeliver = [&](bool force) {
    Result<std::variant<Intervention, Reply>> result = gateway_->Redeliver(key, force, "ada");
    EXPECT_TRUE(result.ok());
    EXPECT_FALSE(gateway_->IsExecuting(key));
    const auto* reply = std::get_if<Reply>(&*result);
    return reply != nullptr ? reply->status : -static_cast<int>(std::get<Intervention>(*result));
  };
  EXPECT_EQ(redeliver(false), 503);
  EXPECT_EQ((*store_.Get(key, RecordParts::kAll))->state, RecordState::kUnknown) << "as it was before";
  EXPECT_EQ((*store_.Get(key, RecordParts::kAll))->attempt, 1U);
  upstream_.Answer(201, "created");
  EXPECT_EQ(redeliver(false), 201);
  EXPECT_EQ(Verdict(Post("a", {}, "the body").Get()), "201 replayed");
  EXPECT_EQ(redeliver(false), 409) << "settled";
  EXPECT_EQ(redeliver(true), 201);
  ASSERT_EQ(upstream_.executions(), 4U);
  const std::string head = upstream_.heads()[2];
  EXPECT_NE(head.find("Oncegate-Redelivery: true\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("Oncegate-Attempt: 2\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("X-Signature: s\r\n"), std::string::npos) << head;
  EXPECT_EQ(head.find("secret"), std::string::npos) << head;
}

TEST_F(SidecarTest, DoesNotRedeliverWhatWasRedacted) {
  Route route;
  route.redact_fields = {"card"};
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(route)));
  upstream_.Fail(ForwardEnd::kBroken);
  EXPECT_EQ(Verdict(Post("a", {}, "card=4111&order=7").Get()), "502 upstream-broken");
  AwaitEnd(ScopedKey("default", "a"));
  const auto refused = gateway_->Redeliver(ScopedKey("default", "a"), false, "ada");
  EXPECT_EQ(std::get<Intervention>(*refused), Intervention::kNotRedeliverable);
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(SidecarTest, DoesNotRedeliverWhatIsBeingExecuted) {
  Call call = PostHeld("a");
  upstream_.AwaitRequests(1);
  const auto refused = gateway_->Redeliver(ScopedKey("default", "a"), true, "ada");
  EXPECT_EQ(std::get<Intervention>(*refused), Intervention::kInFlight);
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(call.Get()), "200 executed");
}

// Whoever wins a key counts itself in a ledger outside of the store.
TEST_F(SidecarTest, OfManyClientsOfGatewayAndSidecarOneExecutesEachKey) {
  constexpr int kClients = 64;
  constexpr int kKeys = 100;
  std::mutex mutex;
  std::map<std::string, int> executions;
  const auto write_down = [&](const std::string& key) {
    const std::lock_guard lock(mutex);
    ++executions[key];
  };
  upstream_.SetScript([&](const OutboundRequest& request, ResponseReceiver& receiver) {
    const size_t at = request.head.find("Oncegate-Key: ") + 14;
    write_down(request.head.substr(at, request.head.find("\r\n", at) - at));
    return ScriptedUpstream::Respond(receiver, 200, "Content-Length: 1\r\n", {"g"});
  });
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; i < kKeys; ++i) {
        const std::string key = "k" + std::to_string((i * 7 + client) % kKeys);
        if (client % 2 == 0) {
          if (Post(key).Get().status == 200) ++answered;
          continue;
        }
        // As the control listener does it.
        std::optional<Result<ClaimResult>> soon = Together(ClaimOf(key), true);
        const Result<ClaimResult> result = soon ? *std::move(soon) : sidecar().Claim(ClaimOf(key), {}, 60'000);
        ASSERT_TRUE(result.ok());
        if (const auto* claimed = std::get_if<Claimed>(&*result)) {
          write_down(key);
          ASSERT_TRUE(CompleteTogether(claimed->token, Answer("s")).ok());
        }
        if (WordFor(result) == "execute" || WordFor(result) == "replay" || WordFor(result) == "in-flight") ++answered;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, kClients * kKeys);
  EXPECT_EQ(executions.size(), static_cast<size_t>(kKeys));
  for (const auto& [key, count] : executions) EXPECT_EQ(count, 1) << key;
}

}  // namespace
}  // namespace oncegate

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "store_fixture.h"

namespace oncegate {
namespace {

using ClaimsTest = StoreFixture;

// What a record looks like to people, to see that a call changed nothing.
void ExpectSame(const std::optional<Record>& before, const std::optional<Record>& after) {
  ASSERT_EQ(before.has_value(), after.has_value());
  EXPECT_TRUE(before == after);
}

TEST_F(ClaimsTest, TheFirstClaimExecutes) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  EXPECT_EQ(claimed.attempt, 1U);
  EXPECT_EQ(claimed.lease_expires_at_ms, kNever);
  const auto record = Get("a");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, RecordState::kInProgress);
  EXPECT_EQ(record->token, claimed.token);
  EXPECT_EQ(record->id, claimed.id);
  EXPECT_EQ(record->created_at_ms, kStartMs);
  EXPECT_EQ(record->expires_at_ms, kNever);
}

TEST_F(ClaimsTest, AnUnknownKeyIsNotThere) {
  EXPECT_FALSE(Get("never claimed"));
}

TEST_F(ClaimsTest, AnOwnerlessGatewayClaimIsUnknownUnderHold) {
  MustClaim(ClaimOf("a"));
  EXPECT_EQ(MustRefuse(ClaimOf("a")).decision, Decision(OutcomeUnknown{}));
}

TEST_F(ClaimsTest, AnOwnerlessGatewayClaimRunsAgainUnderRelease) {
  const Claimed first = MustClaim(ClaimOf("a"));
  clock_.Advance(1000);
  const Claimed second = MustClaim(ClaimOf("a"), ReleaseFacts());
  EXPECT_EQ(second.attempt, 2U);
  EXPECT_EQ(second.id, first.id);
  EXPECT_NE(second.token, first.token);
  EXPECT_EQ(Get("a")->created_at_ms, kStartMs);
}

TEST_F(ClaimsTest, ACompletedKeyIsReplayed) {
  ClaimAndComplete(ClaimOf("a"), Answer("hello", 201));
  const Refused refused = MustRefuse(ClaimOf("a"));
  EXPECT_EQ(refused.decision, Decision(Replay{}));
  EXPECT_EQ(refused.record.response, Answer("hello", 201));
  EXPECT_EQ(refused.record.expires_at_ms, kStartMs + kDayMs);
}

TEST_F(ClaimsTest, AnotherRequestUnderTheKeyIsRefused) {
  ClaimAndComplete(ClaimOf("a"));
  EXPECT_EQ(MustRefuse(ClaimOf("a"), Facts('b')).decision, Decision(KeyReused{}));
}

TEST_F(ClaimsTest, ASidecarClaimLivesByItsLease) {
  ClaimRequest rerun = SidecarClaimOf("rerun");
  rerun.on_lease_expiry = LeaseExpiry::kRerun;
  EXPECT_EQ(MustClaim(rerun).lease_expires_at_ms, kStartMs + 60'000);
  const Claimed held = MustClaim(SidecarClaimOf("hold"));
  EXPECT_EQ(MustRefuse(rerun).decision, Decision(InFlight{}));
  clock_.Advance(60'000);
  EXPECT_EQ(MustClaim(rerun).attempt, 2U);
  EXPECT_EQ(MustRefuse(SidecarClaimOf("hold")).decision, Decision(OutcomeUnknown{}));
  MustComplete("hold", held);  // the last token may still settle it
  EXPECT_EQ(Get("hold")->state, RecordState::kCompleted);
}

TEST_F(ClaimsTest, AReleasedKeyExecutesAsAFirstOne) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  clock_.Advance(5);
  ASSERT_TRUE(store_->Release(Key("a"), claimed.token).ok());
  EXPECT_FALSE(Get("a"));
  const Claimed again = MustClaim(ClaimOf("a"));
  EXPECT_EQ(again.attempt, 1U);
  EXPECT_NE(again.id, claimed.id);
  EXPECT_EQ(Get("a")->created_at_ms, kStartMs + 5);
}

TEST_F(ClaimsTest, AnOldTokenSettlesNothing) {
  const Claimed old = MustClaim(ClaimOf("a"));
  MustClaim(ClaimOf("a"), ReleaseFacts());
  const auto before = Get("a");
  EXPECT_EQ(store_->Complete(Key("a"), old.token, Answer("late")).code(), StatusCode::kConflict);
  EXPECT_EQ(store_->Release(Key("a"), old.token).code(), StatusCode::kConflict);
  EXPECT_EQ(store_->MarkUnknown(Key("a"), old.token).code(), StatusCode::kConflict);
  ExpectSame(before, Get("a"));
  EXPECT_EQ(store_->Complete(Key("never claimed"), old.token, Answer("x")).code(), StatusCode::kConflict);
}

TEST_F(ClaimsTest, ACompletionMayBeRepeatedButNotChanged) {
  for (const size_t size : {size_t{4}, size_t{100'000}}) {
    const std::string key = "k" + std::to_string(size);
    const Claimed claimed = MustClaim(ClaimOf(key));
    MustComplete(key, claimed, Answer(std::string(size, 'x')));
    const auto before = Get(key);
    clock_.Advance(1000);
    MustComplete(key, claimed, Answer(std::string(size, 'x')));
    EXPECT_EQ(store_->Complete(Key(key), claimed.token, Answer(std::string(size, 'y'))).code(), StatusCode::kConflict);
    EXPECT_EQ(store_->Release(Key(key), claimed.token).code(), StatusCode::kConflict);
    EXPECT_EQ(store_->MarkUnknown(Key(key), claimed.token).code(), StatusCode::kConflict);
    ExpectSame(before, Get(key));
  }
}

TEST_F(ClaimsTest, AnUnknownOutcomeMayStillBeSettledByItsToken) {
  const Claimed completed = MustClaim(ClaimOf("completed"));
  ASSERT_TRUE(store_->MarkUnknown(Key("completed"), completed.token).ok());
  EXPECT_EQ(Get("completed")->state, RecordState::kUnknown);
  EXPECT_EQ(Get("completed")->expires_at_ms, kNever);
  MustComplete("completed", completed);
  EXPECT_EQ(Get("completed")->state, RecordState::kCompleted);
  const Claimed released = MustClaim(ClaimOf("released"));
  ASSERT_TRUE(store_->MarkUnknown(Key("released"), released.token).ok());
  ASSERT_TRUE(store_->Release(Key("released"), released.token).ok());
  EXPECT_FALSE(Get("released"));
}

TEST_F(ClaimsTest, EraseSparesWhatIsAlive) {
  MustClaim(ClaimOf("gateway"));
  EXPECT_EQ(store_->Erase(Key("gateway"), false, true).status().code(), StatusCode::kConflict);
  EXPECT_TRUE(Get("gateway"));
  EXPECT_TRUE(*store_->Erase(Key("gateway"), false, false));
  EXPECT_FALSE(Get("gateway"));
  const Claimed sidecar = MustClaim(SidecarClaimOf("sidecar"));
  EXPECT_EQ(store_->Erase(Key("sidecar"), false, false).status().code(), StatusCode::kConflict);
  EXPECT_TRUE(*store_->Erase(Key("sidecar"), true, false));
  EXPECT_EQ(store_->Complete(Key("sidecar"), sidecar.token, Answer("late")).code(), StatusCode::kConflict);
  EXPECT_FALSE(*store_->Erase(Key("sidecar"), true, false));
}

TEST_F(ClaimsTest, EveryFieldSurvivesAReopen) {
  for (const size_t size : {size_t{10}, size_t{200'000}}) {
    ClaimRequest claim = SidecarClaimOf("key/" + std::to_string(size));
    claim.type = "type \xc3\xa9";
    claim.source_ip = "192.0.2.1";
    claim.labels = {{"order_id", "42"}};
    std::string binary(size, '\0');
    for (size_t i = 0; i < size; ++i) binary[i] = static_cast<char>(i * 7);
    claim.request = StoredRequest{"POST", "/a?b", "Host: x\r\n", binary, true};
    const Claimed claimed = MustClaim(claim);
    clock_.Advance(10);
    MustComplete(std::string(claim.key.key()), claimed, Answer(binary, 202));
    const auto before = Get(std::string(claim.key.key()));
    ASSERT_TRUE(before);
    EXPECT_EQ(before->request, claim.request) << size;
    EXPECT_EQ(before->response, Answer(binary, 202)) << size;
    EXPECT_EQ(before->labels, claim.labels);
    EXPECT_EQ(before->type, claim.type);
    EXPECT_EQ(before->source_ip, claim.source_ip);
    EXPECT_EQ(before->fingerprint, Facts().fingerprint);
    EXPECT_EQ(before->completed_at_ms, before->created_at_ms + 10);
    Reopen();
    ExpectSame(before, Get(std::string(claim.key.key())));
    const auto replay = Get(std::string(claim.key.key()), RecordParts::kReplay);
    EXPECT_FALSE(replay->request);
    EXPECT_EQ(replay->response, before->response);
  }
}

TEST_F(ClaimsTest, RecoveryLeavesGatewayClaimsUnknownAndSidecarClaimsAlone) {
  ClaimRequest large = ClaimOf("gateway");
  large.request = StoredRequest{"POST", "/", "", std::string(50'000, 'r'), true};
  large.request_body_needed_ms = 1000;
  MustClaim(large);
  ClaimRequest passing = ClaimOf("passing");
  passing.hold_unknown = false;
  MustClaim(passing);
  const Claimed sidecar = MustClaim(SidecarClaimOf("sidecar"));
  Reopen();
  EXPECT_EQ(Get("gateway")->state, RecordState::kUnknown);
  EXPECT_EQ(Get("gateway")->expires_at_ms, kNever);
  EXPECT_EQ(Get("passing")->state, RecordState::kUnknown);
  EXPECT_EQ(Get("passing")->expires_at_ms, kStartMs + kDayMs);
  EXPECT_EQ(Get("sidecar")->state, RecordState::kInProgress);
  const StoreStats stats = ExactStats();
  EXPECT_EQ(stats.unknown, 2U);
  EXPECT_EQ(stats.in_progress, 1U);
  MustComplete("sidecar", sidecar);
  // The request of what is held stays for as long as it is held.
  clock_.Advance(30 * kDayMs);
  ASSERT_TRUE(store_->Cleanup().ok());
  EXPECT_EQ(Get("gateway")->request, large.request);
}

TEST_F(ClaimsTest, ReplaysAreCountedForLiveOutcomesOnly) {
  ClaimAndComplete(ClaimOf("a"));
  MustClaim(ClaimOf("open"));
  ASSERT_TRUE(store_->AddReplays({{Key("a"), 3}, {Key("absent"), 1}, {Key("open"), 1}}).ok());
  ASSERT_TRUE(store_->AddReplays({{Key("a"), 4}}).ok());
  EXPECT_EQ(Get("a")->replays, 7U);
  EXPECT_EQ(Get("open")->replays, 0U);
  Reopen();
  EXPECT_EQ(Get("a")->replays, 7U);
  ASSERT_TRUE(*store_->Erase(Key("a"), false, false));
  const int64_t erased_at_ms = store_->NowMs();
  clock_.Advance(1);
  ClaimAndComplete(ClaimOf("a"));
  EXPECT_EQ(Get("a")->replays, 0U);
  // Counted before, and written down only now.
  ASSERT_TRUE(store_->AddReplays({{Key("a"), 5, erased_at_ms - 10, erased_at_ms}}).ok());
  EXPECT_EQ(Get("a")->replays, 0U);
}

TEST_F(ClaimsTest, OfManyClaimsOfOneKeyExactlyOneIsMade) {
  constexpr int kThreads = 16;
  constexpr int kKeys = 1000;
  std::vector<std::atomic<int>> claimed(kKeys);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kKeys; ++i) {
        const int key = (i + t * 61) % kKeys;
        Result<ClaimResult> result = store_->Claim(SidecarClaimOf("k" + std::to_string(key)), Facts());
        ASSERT_TRUE(result.ok()) << result.status().message();
        if (std::holds_alternative<Claimed>(*result)) ++claimed[static_cast<size_t>(key)];
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t key = 0; key < kKeys; ++key) EXPECT_EQ(claimed[key].load(), 1) << "key " << key;
  EXPECT_EQ(ExactStats().in_progress, static_cast<uint64_t>(kKeys));
}

TEST_F(ClaimsTest, CallsTogetherReturnWhatEachWouldByItself) {
  const Claimed known = MustClaim(ClaimOf("known"));
  const Claimed lost = MustClaim(ClaimOf("lost"));
  ASSERT_TRUE(store_->Release(Key("lost"), lost.token).ok());
  std::vector<StoreCall> calls;
  calls.emplace_back(ClaimCall{ClaimOf("a"), Facts()});
  calls.emplace_back(ClaimCall{ClaimOf("a"), Facts()});  // decided on the record that the first one made
  calls.emplace_back(CompleteCall{Key("known"), known.token, Answer("hello")});
  calls.emplace_back(CompleteCall{Key("lost"), lost.token, Answer("late")});
  calls.emplace_back(ClaimCall{ClaimOf("known"), Facts()});
  calls.emplace_back(ClaimCall{ClaimOf("b"), Facts()});
  store_->CallTogether(&calls);

  const auto claim = [&calls](size_t i) { return std::get<ClaimCall>(calls[i]).result; };
  for (const size_t made : {0U, 5U}) {
    ASSERT_TRUE(claim(made).ok() && std::holds_alternative<Claimed>(*claim(made))) << made;
    const auto& [key, token] = std::pair(made == 0 ? "a" : "b", std::get<Claimed>(*claim(made)).token);
    ASSERT_TRUE(Get(key)) << key;
    EXPECT_EQ(Get(key)->token, token) << key;
  }
  ASSERT_TRUE(claim(1).ok());
  EXPECT_EQ(std::get<Refused>(*claim(1)).decision, Decision(OutcomeUnknown{}));
  EXPECT_TRUE(std::get<CompleteCall>(calls[2]).status.ok());
  EXPECT_EQ(std::get<CompleteCall>(calls[2]).response, Answer("hello"));
  EXPECT_EQ(std::get<CompleteCall>(calls[3]).status.code(), StatusCode::kConflict);
  EXPECT_FALSE(Get("lost"));
  ASSERT_TRUE(claim(4).ok());
  EXPECT_EQ(std::get<Refused>(*claim(4)).decision, Decision(Replay{}));
  EXPECT_EQ(std::get<Refused>(*claim(4)).record.response, Answer("hello"));

  const StoreStats stats = ExactStats();
  EXPECT_EQ(stats.completed, 1U);
  EXPECT_EQ(stats.active, 3U);
}

TEST_F(ClaimsTest, CallsTogetherNeverWaitForEachOther) {
  constexpr int kThreads = 4;
  constexpr int kKeys = 2000;  // more than there are shards
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int first = 0; first < kKeys; first += 40) {
        std::vector<StoreCall> calls;
        for (int i = 0; i < 40; ++i) {
          const int number = first + (t % 2 == 0 ? i : 39 - i);
          calls.emplace_back(ClaimCall{ClaimOf("k" + std::to_string(number)), Facts()});
        }
        if (t == 3)  // one by one beside the others
          for (const StoreCall& call : calls) (void)store_->Claim(std::get<ClaimCall>(call).claim, ReleaseFacts());
        else
          store_->CallTogether(&calls);
        for (const StoreCall& call : calls) {
          const Result<ClaimResult>& result = std::get<ClaimCall>(call).result;
          if (result.ok() && std::holds_alternative<Claimed>(*result)) ++made;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(made, 0);
  EXPECT_LE(made, kKeys) << "a key was claimed twice";
  EXPECT_EQ(ExactStats().active, static_cast<uint64_t>(kKeys));
}

TEST_F(ClaimsTest, ATightDiskRefusesClaimsButNotOutcomes) {
  const Claimed claimed = MustClaim(ClaimOf("a"));
  options_.free_space_bytes_min = INT64_MAX;
  store_.reset();
  options_.durability = Durability::kSync;
  Open();
  EXPECT_EQ(store_->Claim(ClaimOf("b"), Facts()).status().code(), StatusCode::kNoSpace);
  EXPECT_EQ(store_->CheckWritable().code(), StatusCode::kNoSpace);
  EXPECT_FALSE(Get("b"));
  MustComplete("a", claimed);
  EXPECT_EQ(MustRefuse(ClaimOf("a")).decision, Decision(Replay{}));
}

}  // namespace
}  // namespace oncegate

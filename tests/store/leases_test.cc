#include <gtest/gtest.h>

#include "store/token_hints.h"
#include "store_fixture.h"

namespace oncegate {
namespace {

constexpr int64_t kLeaseMs = 60'000;

class LeasesTest : public StoreFixture {
 protected:
  static ClaimRequest RerunClaimOf(const std::string& key) {
    ClaimRequest claim = SidecarClaimOf(key);
    claim.on_lease_expiry = LeaseExpiry::kRerun;
    claim.hold_unknown = false;
    return claim;
  }
  static ClaimRequest NamedClaimOf(const std::string& key, const std::string& claim_id) {
    ClaimRequest claim = SidecarClaimOf(key);
    claim.claim_id = claim_id;
    return claim;
  }
  std::string KeyOf(const Token& token) {
    const Result<std::optional<ScopedKey>> key = store_->FindToken(token);
    EXPECT_TRUE(key.ok()) << key.status().message();
    return key.ok() && *key ? std::string((*key)->key()) : "(none)";
  }
  std::vector<std::string> Listed(RecordState state) {
    ListFilter filter;
    filter.state = state;
    const Result<RecordPage> page = store_->List(filter, {}, 100);
    EXPECT_TRUE(page.ok()) << page.status().message();
    std::vector<std::string> keys;
    for (const Record& record : page->records) keys.emplace_back(record.key.key());
    return keys;
  }
  void ExpectSound() {
    const Result<VerifyReport> report = store_->Verify();
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_EQ(report->differences_total, 0U) << report->differences.front();
  }
  // A claim with a request, left unknown as a crash leaves it.
  void LeaveUnknown(const std::string& key, std::string body = "{}") {
    ClaimRequest claim = ClaimOf(key);
    claim.request = StoredRequest{"POST", "/hook", "Host: app\r\n", std::move(body), true};
    const Claimed claimed = MustClaim(claim);
    ASSERT_TRUE(store_->MarkUnknown(Key(key), claimed.token).ok());
  }
  Redelivery MustRedeliver(const std::string& key, bool force = false) {
    Result<RedeliveryResult> result = store_->Redeliver(Key(key), force, "ada");
    EXPECT_TRUE(result.ok()) << result.status().message();
    auto* redelivery = result.ok() ? std::get_if<Redelivery>(&*result) : nullptr;
    EXPECT_NE(redelivery, nullptr) << key;
    return redelivery != nullptr ? std::move(*redelivery) : Redelivery{};
  }
  Intervention RedeliveryRefused(const std::string& key, bool force = false) {
    const Result<RedeliveryResult> result = store_->Redeliver(Key(key), force, "ada");
    EXPECT_TRUE(result.ok()) << result.status().message();
    const auto* why = result.ok() ? std::get_if<Intervention>(&*result) : nullptr;
    return why != nullptr ? *why : Intervention::kDone;
  }
};

TEST_F(LeasesTest, ARenewedClaimLivesOnAndAnEndedOneIsLost) {
  const Claimed claimed = MustClaim(SidecarClaimOf("a"));
  clock_.Advance(kLeaseMs - 1);
  const Result<int64_t> renewed = store_->Renew(Key("a"), claimed.token, 90'000);
  ASSERT_TRUE(renewed.ok()) << renewed.status().message();
  EXPECT_EQ(*renewed, kStartMs + kLeaseMs - 1 + 90'000);
  clock_.Advance(89'999);
  EXPECT_EQ(MustRefuse(SidecarClaimOf("a")).decision, Decision(InFlight{}));
  clock_.Advance(1);
  EXPECT_EQ(MustRefuse(SidecarClaimOf("a")).decision, Decision(OutcomeUnknown{}));
  EXPECT_EQ(store_->Renew(Key("a"), claimed.token, 90'000).status().code(), StatusCode::kConflict);
  EXPECT_EQ(store_->Renew(Key("a"), NewToken(), 90'000).status().code(), StatusCode::kConflict);
}

TEST_F(LeasesTest, AnEndedLeaseIsListedAndCountedAsUnknown) {
  MustClaim(SidecarClaimOf("hold"));
  MustClaim(RerunClaimOf("rerun"));
  ClaimRequest longer = SidecarClaimOf("longer");
  longer.lease_ms = 2 * kLeaseMs;
  MustClaim(longer);
  EXPECT_EQ(ExactStats().in_progress, 3U);
  for (const bool reopened : {false, true}) {
    clock_.Advance(reopened ? 0 : kLeaseMs);
    if (reopened) Reopen();
    const StoreStats stats = ExactStats();
    EXPECT_EQ(stats.in_progress, 1U) << reopened;
    EXPECT_EQ(stats.unknown, 2U) << reopened;
    EXPECT_EQ(Listed(RecordState::kInProgress), std::vector<std::string>{"longer"}) << reopened;
    EXPECT_EQ(Listed(RecordState::kUnknown).size(), 2U) << reopened;
  }
  ExpectSound();
}

TEST_F(LeasesTest, AnEndedLeaseIsFoundAfterAStart) {
  MustClaim(SidecarClaimOf("a"));
  MustClaim(SidecarClaimOf("b"));
  Reopen();
  EXPECT_EQ(Listed(RecordState::kInProgress).size(), 2U);
  clock_.Advance(kLeaseMs);
  EXPECT_EQ(Listed(RecordState::kUnknown).size(), 2U);
}

TEST_F(LeasesTest, AnEndedRerunClaimCanBeClaimedAgainAndExpiresAtLast) {
  const Claimed first = MustClaim(RerunClaimOf("a"));
  clock_.Advance(kLeaseMs);
  EXPECT_EQ(Listed(RecordState::kUnknown), std::vector<std::string>{"a"});
  EXPECT_EQ(Get("a")->expires_at_ms, kStartMs + kLeaseMs + kDayMs);
  const Claimed second = MustClaim(RerunClaimOf("a"));
  EXPECT_EQ(second.attempt, 2U);
  EXPECT_EQ(store_->Complete(Key("a"), first.token, Answer("late")).code(), StatusCode::kConflict);
  EXPECT_EQ(KeyOf(first.token), "(none)");
  clock_.Advance(kLeaseMs);
  ASSERT_EQ(Listed(RecordState::kUnknown).size(), 1U);
  clock_.Advance(kDayMs);
  EXPECT_FALSE(Get("a"));
}

TEST_F(LeasesTest, AHeldClaimOutlivesItsTtl) {
  const Claimed claimed = MustClaim(SidecarClaimOf("a"));
  clock_.Advance(kLeaseMs);
  EXPECT_EQ(Listed(RecordState::kUnknown).size(), 1U);
  clock_.Advance(30 * kDayMs);
  EXPECT_EQ(Get("a")->state, RecordState::kUnknown);
  MustComplete("a", claimed);
  EXPECT_EQ(Get("a")->state, RecordState::kCompleted);
}

TEST_F(LeasesTest, TheCalendarClockEndsNoLease) {
  MustClaim(SidecarClaimOf("a"));
  clock_.SetWall(kStartMs + kDayMs);
  EXPECT_EQ(MustRefuse(SidecarClaimOf("a")).decision, Decision(InFlight{}));
  EXPECT_EQ(Listed(RecordState::kInProgress).size(), 1U);
}

TEST_F(LeasesTest, ARepeatedClaimIdGetsTheSameTokenWhileTheClaimIsAlive) {
  const Claimed first = MustClaim(NamedClaimOf("a", "worker-1"));
  EXPECT_FALSE(first.repeated);
  clock_.Advance(1000);
  for (const bool reopened : {false, true}) {
    if (reopened) Reopen();
    const Claimed again = MustClaim(NamedClaimOf("a", "worker-1"));
    EXPECT_TRUE(again.repeated);
    EXPECT_EQ(again.token, first.token);
    EXPECT_EQ(again.attempt, 1U);
    EXPECT_EQ(again.lease_expires_at_ms, first.lease_expires_at_ms);
  }
  EXPECT_EQ(MustRefuse(NamedClaimOf("a", "worker-2")).decision, Decision(InFlight{}));
  EXPECT_EQ(MustRefuse(SidecarClaimOf("a")).decision, Decision(InFlight{}));
  EXPECT_EQ(MustRefuse(NamedClaimOf("a", "worker-1"), Facts('b')).decision, Decision(KeyReused{}));
  clock_.Advance(kLeaseMs);
  EXPECT_EQ(MustRefuse(NamedClaimOf("a", "worker-1")).decision, Decision(OutcomeUnknown{}));
  MustComplete("a", first);
  EXPECT_EQ(MustRefuse(NamedClaimOf("a", "worker-1")).decision, Decision(Replay{}));
}

TEST_F(LeasesTest, ATokenIsFoundAsLongAsItsRecordLives) {
  const Claimed a = MustClaim(SidecarClaimOf("a"));
  const Claimed b = MustClaim(SidecarClaimOf("b"));
  const Claimed gateways = MustClaim(ClaimOf("c"));
  EXPECT_EQ(KeyOf(a.token), "a");
  EXPECT_EQ(KeyOf(gateways.token), "(none)");
  EXPECT_EQ(KeyOf(NewToken()), "(none)");
  Reopen();
  EXPECT_EQ(KeyOf(a.token), "a");
  EXPECT_EQ(KeyOf(b.token), "b");
  MustComplete("a", a);
  EXPECT_EQ(KeyOf(a.token), "a");
  ASSERT_TRUE(store_->Release(Key("b"), b.token).ok());
  EXPECT_EQ(KeyOf(b.token), "(none)");
  ExpectSound();
  clock_.Advance(kDayMs);
  EXPECT_EQ(KeyOf(a.token), "(none)");
}

TEST_F(LeasesTest, ATokenFindsNoRecordThatIsNotItsOwnAnyMore) {
  const Claimed first = MustClaim(SidecarClaimOf("a"));
  EXPECT_EQ(KeyOf(first.token), "a");
  ASSERT_TRUE(store_->Release(Key("a"), first.token).ok());
  EXPECT_EQ(KeyOf(first.token), "(none)");
  const Claimed second = MustClaim(SidecarClaimOf("a"));
  EXPECT_EQ(KeyOf(first.token), "(none)");
  EXPECT_EQ(KeyOf(second.token), "a");
  // Some displace the hints of others, and are found by the index.
  std::vector<std::pair<std::string, Token>> many;
  for (size_t i = 0; i < store::TokenHints::kSlots / 4; ++i) {
    const std::string key = "k" + std::to_string(i);
    many.emplace_back(key, MustClaim(SidecarClaimOf(key)).token);
  }
  for (const auto& [key, token] : many) EXPECT_EQ(KeyOf(token), key);
  clock_.Advance(kDayMs);
  EXPECT_EQ(KeyOf(second.token), "a") << "its outcome is unknown and held";
}

TEST_F(LeasesTest, OnlyAnUnknownOutcomeIsResolved) {
  EXPECT_EQ(*store_->Resolve(Key("none"), std::nullopt, false, "ada"), Intervention::kNoRecord);
  const Claimed leased = MustClaim(SidecarClaimOf("leased"));
  EXPECT_EQ(*store_->Resolve(Key("leased"), std::nullopt, false, "ada"), Intervention::kInFlight);
  MustClaim(ClaimOf("gateway"));
  EXPECT_EQ(*store_->Resolve(Key("gateway"), Answer("x"), true, "ada"), Intervention::kInFlight);
  EXPECT_EQ(*store_->Resolve(Key("gateway"), Answer("x"), false, "ada"), Intervention::kDone);
  EXPECT_EQ(*store_->Resolve(Key("gateway"), std::nullopt, false, "ada"), Intervention::kSettled);
  EXPECT_EQ(Get("gateway")->response, Answer("x"));

  clock_.Advance(kLeaseMs);
  EXPECT_EQ(*store_->Resolve(Key("leased"), Answer(std::string(100'000, 'y'), 201), false, "ada"), Intervention::kDone);
  EXPECT_EQ(Get("leased")->response->body.size(), 100'000U);
  EXPECT_EQ(Get("leased")->expires_at_ms, kStartMs + kLeaseMs + kDayMs);
  EXPECT_EQ(store_->Complete(Key("leased"), leased.token, Answer("late")).code(), StatusCode::kConflict);

  LeaveUnknown("released");
  EXPECT_EQ(*store_->Resolve(Key("released"), std::nullopt, false, "ada"), Intervention::kDone);
  EXPECT_FALSE(Get("released"));
  ExpectSound();
}

TEST_F(LeasesTest, ARedeliveryClaimsWhatIsUnknown) {
  for (const size_t size : {size_t{2}, size_t{100'000}}) {
    const std::string key = "k" + std::to_string(size);
    LeaveUnknown(key, std::string(size, 'b'));
    const Redelivery redelivery = MustRedeliver(key);
    EXPECT_EQ(redelivery.attempt, 2U);
    EXPECT_EQ(redelivery.before.request->body.size(), size);
    EXPECT_EQ(Get(key)->state, RecordState::kInProgress);
    ASSERT_TRUE(store_->Complete(Key(key), redelivery.token, Answer("again")).ok());
    EXPECT_EQ(Get(key)->state, RecordState::kCompleted);
    EXPECT_EQ(Get(key)->attempt, 2U);
    EXPECT_EQ(Get(key)->request->body.size(), size);
    EXPECT_EQ(RedeliveryRefused(key), Intervention::kSettled);
  }
  ExpectSound();
}

TEST_F(LeasesTest, ARedeliveryThatHadNoEffectLeavesTheRecordAsItWas) {
  for (const size_t size : {size_t{2}, size_t{100'000}}) {
    const std::string unknown = "unknown" + std::to_string(size);
    const std::string completed = "completed" + std::to_string(size);
    LeaveUnknown(unknown);
    LeaveUnknown(completed);
    EXPECT_EQ(*store_->Resolve(Key(completed), Answer(std::string(size, 'r')), false, "ada"), Intervention::kDone);
    for (const std::string& key : {unknown, completed}) {
      const auto before = Get(key);
      const Redelivery redelivery = MustRedeliver(key, true);
      EXPECT_FALSE(Get(key)->response) << key;
      clock_.Advance(5);
      ASSERT_TRUE(store_->PutBack(Key(key), redelivery).ok()) << key;
      auto after = Get(key);
      ASSERT_FALSE(after->history.empty()) << key;
      EXPECT_EQ(after->history.back().by, "ada") << key;
      EXPECT_EQ(after->history.back().action, HistoryAction::kRedelivered) << key;
      EXPECT_NE(after->history.back().detail.find("as it was before"), std::string::npos) << key;
      after->history.pop_back();
      EXPECT_TRUE(before == after) << key;
      EXPECT_EQ(store_->PutBack(Key(key), redelivery).code(), StatusCode::kConflict) << key;
    }
  }
  ExpectSound();
}

TEST_F(LeasesTest, ACrashInTheMiddleOfARedeliveryLeavesItUnknown) {
  LeaveUnknown("a");
  EXPECT_EQ(*store_->Resolve(Key("a"), Answer(std::string(100'000, 'r')), false, "ada"), Intervention::kDone);
  MustRedeliver("a", true);
  Reopen();
  EXPECT_EQ(Get("a")->state, RecordState::kUnknown);
  EXPECT_FALSE(Get("a")->response);
  EXPECT_EQ(Get("a")->expires_at_ms, kNever);
  EXPECT_EQ(MustRedeliver("a").attempt, 3U);
  ExpectSound();
}

TEST_F(LeasesTest, WhatCannotBeSentAgainIsNotClaimed) {
  EXPECT_EQ(RedeliveryRefused("none"), Intervention::kNoRecord);
  MustClaim(SidecarClaimOf("leased"));
  EXPECT_EQ(RedeliveryRefused("leased", true), Intervention::kInFlight);
  clock_.Advance(kLeaseMs);
  EXPECT_EQ(RedeliveryRefused("leased"), Intervention::kNotRedeliverable);
  ClaimRequest bodiless = ClaimOf("bodiless");
  bodiless.request = StoredRequest{"POST", "/hook", "Host: app\r\n", {}, false};
  MustClaim(bodiless);
  EXPECT_EQ(RedeliveryRefused("bodiless"), Intervention::kNotRedeliverable);
}

}  // namespace
}  // namespace oncegate

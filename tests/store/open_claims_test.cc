// Claims that are kept in memory until they end: they end as if they had been read.

#include "store/open_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store_fixture.h"
#include "store_scan.h"

namespace oncegate {
namespace {

using store::OpenClaims;
using store::StoredRecord;
using ::testing::IsEmpty;

StoredRecord ClaimedAs(const std::string& key, uint8_t token) {
  StoredRecord claimed;
  claimed.record.key = ScopedKey("default", key);
  claimed.record.token.fill(token);
  claimed.record.labels = {{"n", key}};
  return claimed;
}

TEST(OpenClaims, GivesWhatWasPutInOnce) {
  OpenClaims claims;
  const StoredRecord a = ClaimedAs("a", 1);
  const StoredRecord b = ClaimedAs("b", 2);
  claims.Put(a);
  claims.Put(b);
  EXPECT_FALSE(claims.Take(a.record.key, b.record.token)) << "another's token";
  EXPECT_EQ(claims.Take(a.record.key, a.record.token), a);
  EXPECT_FALSE(claims.Take(a.record.key, a.record.token));
  claims.Forget(a.record.token);
  EXPECT_EQ(claims.Take(b.record.key, b.record.token), b);
  claims.Put(a);
  claims.Forget(a.record.token);
  EXPECT_FALSE(claims.Take(a.record.key, a.record.token));
  claims.Put(b);
  claims.Clear();
  EXPECT_FALSE(claims.Take(b.record.key, b.record.token));
}

TEST(OpenClaims, LeavesOutLargeOnes) {
  OpenClaims claims;
  StoredRecord a = ClaimedAs("a", 1);
  a.record.request = StoredRequest{"POST", "/", std::string(OpenClaims::kRecordBytesMax, 'f'), "", true};
  claims.Put(a);
  EXPECT_FALSE(claims.Take(a.record.key, a.record.token));
}

TEST(OpenClaims, OneDisplacesAnother) {
  OpenClaims claims;
  const StoredRecord a = ClaimedAs("a", 1);
  StoredRecord b = ClaimedAs("b", 1);
  b.record.token.back() = 2;  // in the same place
  claims.Put(a);
  claims.Put(b);
  EXPECT_FALSE(claims.Take(a.record.key, a.record.token));
  EXPECT_EQ(claims.Take(b.record.key, b.record.token), b);
}

class OpenClaimsInStore : public StoreFixture {
 protected:
  // Claims and completes as the gateway does.
  Claimed ClaimTogether(ClaimRequest claim) {
    std::vector<StoreCall> calls;
    calls.emplace_back(ClaimCall{std::move(claim), Facts()});
    store_->CallTogether(&calls);
    const Result<ClaimResult>& result = std::get<ClaimCall>(calls[0]).result;
    EXPECT_TRUE(result.ok() && std::holds_alternative<Claimed>(*result));
    return std::get<Claimed>(*result);
  }
  StatusCode CompleteTogether(const std::string& key, const Token& token) {
    std::vector<StoreCall> calls;
    calls.emplace_back(CompleteCall{Key(key), token, Answer("done")});
    store_->CallTogether(&calls);
    return std::get<CompleteCall>(calls[0]).status.code();
  }
  static ClaimRequest FullClaimOf(const std::string& key) {
    ClaimRequest claim = ClaimOf(key);
    claim.source_ip = "10.0.0.1";
    claim.labels = {{"order_id", key}};
    claim.request = StoredRequest{"POST", "/orders", "A: b\r\n", "body of " + key, true};
    return claim;
  }
  // Makes the record of `key`, a FullClaimOf, unreadable where it lies on disk.
  void Damage(const std::string& key) {
    ASSERT_TRUE(store_->Cleanup().ok());  // writes it there
    const std::string body = "body of " + key;
    for (const auto& [name, size] : FilesAndSizes()) {
      if (!name.ends_with(".sst")) continue;
      std::fstream file(options_.directory + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      const size_t place = bytes.find(body);
      if (place == std::string::npos) continue;
      file.seekp(static_cast<std::streamoff>(place)).put('?');
    }
  }
  void ExpectSound() {
    const StoreStats stats = ExactStats();
    const int64_t now_ms = store_->NowMs();
    store_.reset();
    const StoreScan scan = ScanStore(options_, now_ms);
    EXPECT_THAT(scan.damage, IsEmpty());
    EXPECT_THAT(DifferencesOf(stats, scan), IsEmpty());
    Open();
  }
};

TEST_F(OpenClaimsInStore, CompleteAsThoseThatAreRead) {
  const Claimed kept = ClaimTogether(FullClaimOf("a"));
  EXPECT_EQ(CompleteTogether("a", kept.token), StatusCode::kOk);
  EXPECT_EQ(CompleteTogether("a", kept.token), StatusCode::kOk) << "the same outcome";
  const Claimed read = MustClaim(FullClaimOf("b"));
  MustComplete("b", read);
  std::optional<Record> a = Get("a");
  const std::optional<Record> b = Get("b");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->request->body, "body of a");
  a->id = b->id;
  a->key = b->key;
  a->token = b->token;
  a->labels = b->labels;
  a->request = b->request;
  EXPECT_EQ(a, b);
  ExpectSound();
}

TEST_F(OpenClaimsInStore, CompleteWithoutBeingRead) {
  const Claimed kept = ClaimTogether(FullClaimOf("a"));
  Damage("a");
  EXPECT_EQ(store_->Get(Key("a"), RecordParts::kAll).status().code(), StatusCode::kCorruption);
  EXPECT_EQ(CompleteTogether("a", kept.token), StatusCode::kOk);
  EXPECT_EQ(Get("a")->response, Answer("done"));
}

TEST_F(OpenClaimsInStore, DoNotOutliveTheErasureOfWhatCannotBeRead) {
  const Claimed kept = ClaimTogether(FullClaimOf("a"));
  Damage("a");
  const Result<bool> erased = store_->Erase(Key("a"), /*force=*/true, /*in_flight=*/false);
  ASSERT_TRUE(erased.ok()) << erased.status().message();
  EXPECT_EQ(CompleteTogether("a", kept.token), StatusCode::kConflict);
  EXPECT_FALSE(Get("a"));
}

TEST_F(OpenClaimsInStore, DoNotOutliveTheirRelease) {
  const Claimed claimed = ClaimTogether(ClaimOf("a"));
  ASSERT_TRUE(store_->Release(Key("a"), claimed.token).ok());
  EXPECT_EQ(CompleteTogether("a", claimed.token), StatusCode::kConflict);
  const Claimed erased = ClaimTogether(ClaimOf("a"));
  ASSERT_TRUE(store_->Erase(Key("a"), /*force=*/true, /*in_flight=*/true).ok());
  EXPECT_EQ(CompleteTogether("a", erased.token), StatusCode::kConflict);
  EXPECT_FALSE(Get("a"));
  ExpectSound();
}

TEST_F(OpenClaimsInStore, DoNotOutliveAChange) {
  const Claimed unclear = ClaimTogether(ClaimOf("a"));
  ASSERT_TRUE(store_->MarkUnknown(Key("a"), unclear.token).ok());
  EXPECT_EQ(CompleteTogether("a", unclear.token), StatusCode::kOk);
  const Claimed leased = ClaimTogether(SidecarClaimOf("b"));
  clock_.Advance(1000);
  const Result<int64_t> renewed = store_->Renew(Key("b"), leased.token, 90'000);
  ASSERT_TRUE(renewed.ok());
  EXPECT_EQ(CompleteTogether("b", leased.token), StatusCode::kOk);
  EXPECT_EQ(Get("b")->lease_expires_at_ms, *renewed);
  ExpectSound();
}

TEST_F(OpenClaimsInStore, GiveWayToASecondAttempt) {
  const Claimed first = ClaimTogether(ClaimOf("a"));
  const Claimed second = MustClaim(ClaimOf("a"), ReleaseFacts());
  EXPECT_EQ(second.attempt, 2U);
  EXPECT_EQ(CompleteTogether("a", first.token), StatusCode::kConflict);
  EXPECT_EQ(CompleteTogether("a", second.token), StatusCode::kOk);
  ExpectSound();
}

}  // namespace
}  // namespace oncegate

// Records of another system, taken over into a store that has some of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store_fixture.h"

namespace oncegate {
namespace {

using ::testing::IsEmpty;

class ImportTest : public StoreFixture {
 protected:
  static Record Imported(const std::string& key, int64_t expires_at_ms = kStartMs + kDayMs) {
    Record record;
    record.key = Key(key);
    record.type = "order";
    record.state = RecordState::kCompleted;
    record.created_at_ms = kStartMs - kHourMs;
    record.completed_at_ms = kStartMs - kHourMs;
    record.expires_at_ms = expires_at_ms;
    record.ttl_ms = kDayMs;
    record.response = Answer("imported " + key);
    return record;
  }
  ImportReport MustImport(std::vector<Record> records) {
    const Result<ImportReport> report = store_->Import(std::move(records));
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? *report : ImportReport{};
  }
  void ExpectSound() {
    const Result<VerifyReport> report = store_->Verify();
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_THAT(report->differences, IsEmpty());
  }
};

TEST_F(ImportTest, IsReplayedListedCountedAndExpires) {
  Record large = Imported("large");
  large.response->body = std::string(50'000, 'x');
  large.request = StoredRequest{"POST", "/", "", std::string(9000, 'r'), true};
  large.labels = {{"order_id", "ord_42"}};
  const ImportReport report = MustImport({Imported("a"), large, Imported("soon", kStartMs + 1000)});
  EXPECT_EQ(report.imported, 3U);
  EXPECT_EQ(MustRefuse(ClaimOf("a")).record.response->body, "imported a");
  EXPECT_EQ(MustRefuse(ClaimOf("large")).record.response->body, large.response->body);
  EXPECT_EQ(Get("large")->request->body, large.request->body);
  ListFilter filter;
  filter.label.emplace("order_id", "ord_42");
  EXPECT_EQ(store_->List(filter, "", 10)->records.size(), 1U);
  EXPECT_EQ(ExactStats().completed, 3U);
  ExpectSound();
  clock_.Advance(1000);
  EXPECT_EQ(ExactStats().active, 2U);
  MustClaim(ClaimOf("soon"));
  Reopen();
  ExpectSound();
  EXPECT_EQ(ExactStats().active, 3U);
}

TEST_F(ImportTest, NeverOverwrites) {
  ClaimAndComplete(ClaimOf("mine"), Answer("mine"));
  const Claimed begun = MustClaim(ClaimOf("begun"));
  const ImportReport report = MustImport(
      {Imported("mine"), Imported("begun"), Imported("twice"), Imported("twice"), Imported("expired", kStartMs)});
  EXPECT_EQ(report.imported, 1U);
  EXPECT_EQ(report.existing, 3U);
  EXPECT_EQ(report.expired, 1U);
  EXPECT_EQ(Get("mine")->response->body, "mine");
  MustComplete("begun", begun);
  EXPECT_FALSE(Get("expired"));
  ExpectSound();
}

TEST_F(ImportTest, TakesThePlaceOfWhatHasExpired) {
  ClaimRequest claim = ClaimOf("a");
  claim.ttl_ms = 1000;
  claim.labels = {{"old", "yes"}};
  ClaimAndComplete(claim, Answer("old"));
  clock_.Advance(1000);
  EXPECT_EQ(MustImport({Imported("a")}).imported, 1U);
  EXPECT_EQ(Get("a")->response->body, "imported a");
  EXPECT_EQ(ExactStats().active, 1U);
  EXPECT_EQ(ExactStats().expired, 0U);
  ExpectSound();
}

TEST_F(ImportTest, AnUnknownOutcomeIsHeldAndASettledOneIsNot) {
  Record unknown = Imported("unknown", kNever);
  unknown.state = RecordState::kUnknown;
  unknown.response.reset();
  EXPECT_EQ(MustImport({unknown}).imported, 1U);
  EXPECT_EQ(MustRefuse(ClaimOf("unknown")).decision, Decision(OutcomeUnknown{}));
  EXPECT_EQ(ExactStats().unknown, 1U);
  Reopen();
  EXPECT_EQ(ExactStats().unknown, 1U);
  ExpectSound();
}

TEST_F(ImportTest, TooManyAtOnceAreRefused) {
  EXPECT_EQ(store_->Import(std::vector<Record>(Store::kImportMax + 1)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(MustImport({}).imported, 0U);
}

TEST_F(ImportTest, AnswersAreThereAfterARestart) {
  options_.durability = Durability::kSync;
  Reopen();
  MustImport({Imported("a")});
  Reopen();
  EXPECT_EQ(MustRefuse(ClaimOf("a")).record.response->body, "imported a");
}

}  // namespace
}  // namespace oncegate

// Data directories that earlier formats left must go on opening. data/golden/ has one of each format, made by the
// program of its time:
//   ONCEGATE_WRITE_GOLDEN=data/golden/format-2 build/release/bin/store_opening_test --gtest_filter='Golden*'

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "store_fixture.h"

namespace oncegate {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

const std::string kGoldenRoot = ONCEGATE_SOURCE_DIR "/data/golden";

class GoldenTest : public StoreFixture {
 protected:
  static std::string Large(char c) { return std::string(20'000, c); }

  // Something of everything that a format holds.
  void Fill() {
    ClaimRequest paid = ClaimOf("paid");
    paid.type = "payment";
    paid.labels = {{"order_id", "ord_42"}};
    paid.source_ip = "192.0.2.7";
    paid.request = StoredRequest{"POST", "/hook?x=1", "Host: app\r\n", "{\"order\":42}", true};
    ClaimAndComplete(paid, Answer("{\"ok\":true}", 201));
    ClaimRequest large = ClaimOf("large");
    large.request = StoredRequest{"POST", "/", "", Large('q'), true};
    ClaimAndComplete(large, Answer(Large('a')));
    ClaimRequest soon = ClaimOf("soon");
    soon.ttl_ms = 1000;
    ClaimAndComplete(soon);
    MustClaim(ClaimOf("begun"));
    MustClaim(SidecarClaimOf("leased"));
    EXPECT_TRUE(store_->AddReplays({{Key("paid"), 3, kStartMs + 1'000, kStartMs + 2'000}}).ok());
    // What format 2 is for.
    const Claimed settled = MustClaim(ClaimOf("settled"));
    EXPECT_TRUE(store_->MarkUnknown(Key("settled"), settled.token).ok());
    EXPECT_EQ(*store_->Resolve(Key("settled"), Answer("done"), false, "ada"), Intervention::kDone);
  }
  // The directories of earlier programs were filled with replays at times of their own.
  void ExpectAllOfIt(int format, int64_t replays_from_ms = 0) {
    if (format > 1) {
      EXPECT_EQ(Get("paid")->first_replay_at_ms, replays_from_ms + 1'000);
      EXPECT_EQ(Get("paid")->last_replay_at_ms, replays_from_ms + 2'000);
      const auto settled = Get("settled");
      ASSERT_TRUE(settled);
      ASSERT_EQ(settled->history.size(), 1U);
      EXPECT_EQ(settled->history[0].by, "ada");
      EXPECT_EQ(settled->history[0].action, HistoryAction::kResolved);
      EXPECT_EQ(settled->history[0].detail, "completed with status 200");
    }
    const auto paid = Get("paid");
    ASSERT_TRUE(paid);
    EXPECT_EQ(paid->type, "payment");
    EXPECT_EQ(paid->source_ip, "192.0.2.7");
    EXPECT_EQ(paid->replays, 3U);
    EXPECT_EQ(paid->request->body, "{\"order\":42}");
    EXPECT_EQ(paid->response, Answer("{\"ok\":true}", 201));
    EXPECT_EQ(paid->fingerprint, Facts().fingerprint);
    ListFilter filter;
    filter.label.emplace("order_id", "ord_42");
    EXPECT_EQ(store_->List(filter, "", 10)->records.size(), 1U);
    EXPECT_EQ(Get("large")->request->body, Large('q'));
    EXPECT_EQ(MustRefuse(ClaimOf("large")).record.response->body, Large('a'));
    EXPECT_EQ(Get("begun")->state, RecordState::kUnknown);
    EXPECT_EQ(MustRefuse(SidecarClaimOf("leased")).decision, Decision(InFlight{}));
    const StoreStats stats = ExactStats();
    EXPECT_EQ(stats.active, format > 1 ? 6U : 5U);
    EXPECT_EQ(stats.unknown, 1U);
    const Result<VerifyReport> verified = store_->Verify();
    ASSERT_TRUE(verified.ok()) << verified.status().message();
    EXPECT_THAT(verified->differences, IsEmpty());
    clock_.Advance(1000);
    EXPECT_EQ(store_->Cleanup()->removed, 1U);
  }
};

TEST_F(GoldenTest, DirectoriesOfEarlierFormatsOpen) {
  int formats = 0;
  for (const auto& golden : fs::directory_iterator(kGoldenRoot)) {
    SCOPED_TRACE(golden.path());
    store_.reset();
    options_.directory = root_ + "/" + golden.path().filename().string();
    fs::copy(golden.path(), options_.directory);
    Open();
    ExpectAllOfIt(golden.path().filename() == "format-1" ? 1 : 2);
    store_.reset();
    clock_.Advance(-1000);
    ++formats;
  }
  EXPECT_GE(formats, 2);
}

TEST_F(GoldenTest, WritesOneWhereItIsTold) {
  const char* directory = std::getenv("ONCEGATE_WRITE_GOLDEN");
  Fill();
  Reopen();  // what is in the log is written to tables
  ExpectAllOfIt(2, kStartMs);
  if (directory == nullptr) return;
  store_.reset();
  fs::remove_all(options_.directory);
  clock_.Advance(-1000);
  Open();
  Fill();
  Reopen();
  store_.reset();
  fs::create_directories(directory);
  for (const auto& file : fs::directory_iterator(options_.directory)) {
    const std::string name = file.path().filename();
    if (name == "LOCK") continue;
    fs::copy(file.path(), fs::path(directory) / name, fs::copy_options::overwrite_existing);
  }
}

}  // namespace
}  // namespace oncegate

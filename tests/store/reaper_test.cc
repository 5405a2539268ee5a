// Cleanups by the reaper's own thread.

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "store_fixture.h"

namespace oncegate {
namespace {

class ReaperTest : public StoreFixture {
 protected:
  // Completes so many keys, of which one in `one_in` expires in an hour and the others after ttl_ms_.
  void Fill(int count, int one_in) {
    for (int i = 0; i < count; ++i) {
      ClaimRequest claim = ClaimOf("k" + std::to_string(i));
      claim.ttl_ms = i % one_in == 0 ? kHourMs : ttl_ms_;
      std::string body(1000, '\0');
      for (char& c : body) c = static_cast<char>('a' + random_() % 26);  // so that it does not shrink to nothing
      ClaimAndComplete(claim, Answer(body));
    }
  }
  // Opens the store with its reaper awake every millisecond; opening writes what the log held to table files.
  void WakeReaper() {
    options_.cleanup_interval_ms = 1;
    Reopen();
    WaitForRun();
  }
  // Lets time pass until the reaper has cleaned up once more, from beginning to end.
  void WaitForRun() {
    const uint64_t runs = store_->Cleanups().runs;
    while (store_->Cleanups().runs < runs + 2) {
      clock_.Advance(1);
      std::this_thread::yield();
    }
  }
  int64_t ttl_ms_ = 30 * kDayMs;
  std::mt19937 random_{5};  // NOLINT(cert-msc51-cpp): the same bodies every time

  // The largest table file: that of the records.
  std::string RecordsTable() {
    std::string largest;
    uintmax_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
      if (entry.path().extension() != ".sst" || entry.file_size() <= bytes) continue;
      bytes = entry.file_size();
      largest = entry.path();
    }
    EXPECT_GT(bytes, 20'000U);
    return largest;
  }
};

TEST_F(ReaperTest, RewritesFilesOfWhichMostHasExpired) {
  Fill(2000, 1);
  WakeReaper();
  const std::string table = RecordsTable();
  const uint64_t bytes_before = ExactStats().disk_bytes;
  clock_.Advance(2 * kHourMs);
  WaitForRun();
  const CleanupTotals totals = store_->Cleanups();
  EXPECT_EQ(totals.last_error, "");
  EXPECT_EQ(totals.removed_total, 2000U);
  EXPECT_GT(totals.bytes_reclaimed_total, 0U);
  EXPECT_EQ(totals.rewritten_total, 0U) << "everything has expired: nothing is to be kept";
  EXPECT_EQ(ExactStats().expired, 0U);
  EXPECT_LT(ExactStats().disk_bytes, bytes_before / 2);
  EXPECT_FALSE(std::filesystem::exists(table));
}

TEST_F(ReaperTest, LeavesFilesAloneOfWhichLittleHasExpired) {
  Fill(2000, 10);
  WakeReaper();
  clock_.Advance(2 * kHourMs);
  WaitForRun();
  EXPECT_EQ(store_->Cleanups().removed_total, 200U);
  EXPECT_EQ(store_->Cleanups().rewritten_total, 0U);
  EXPECT_EQ(ExactStats().active, 1800U);
}

// Half has expired, and the rest will have within the hour.
TEST_F(ReaperTest, WaitsForFilesThatSoonGoWhole) {
  ttl_ms_ = kHourMs + kHourMs / 2;
  Fill(2000, 2);
  WakeReaper();
  clock_.Advance(kHourMs + kHourMs / 4);
  WaitForRun();
  EXPECT_EQ(store_->Cleanups().removed_total, 1000U);
  // The file itself says nothing: RocksDB may move what is in it on a busy machine.
  EXPECT_EQ(store_->Cleanups().rewritten_total, 0U);
  const std::string table = RecordsTable();
  clock_.Advance(kHourMs);
  WaitForRun();
  EXPECT_EQ(store_->Cleanups().removed_total, 2000U);
  EXPECT_EQ(store_->Cleanups().rewritten_total, 0U);
  EXPECT_FALSE(std::filesystem::exists(table));
}

// Half has expired, and the rest lives on for weeks.
TEST_F(ReaperTest, RewritesFilesOfWhichHalfLivesLong) {
  Fill(2000, 2);
  WakeReaper();
  clock_.Advance(2 * kHourMs);
  // RocksDB may be rewriting the file just then by itself, so that nothing is left for the reaper to rewrite.
  for (int runs = 0; runs < 100 && store_->Cleanups().rewritten_total == 0; ++runs) WaitForRun();
  EXPECT_EQ(store_->Cleanups().removed_total, 1000U);
  // Of each: its record and its entries in `created` and `expiry`.
  EXPECT_LE(store_->Cleanups().rewritten_total, 3000U);
  EXPECT_EQ(ExactStats().active, 1000U);
}

}  // namespace
}  // namespace oncegate

// A real file system that is too small, and one that cannot be written. Needs the right to mount.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "store_fixture.h"
#include "store_scan.h"

namespace oncegate {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FullDiskTest : public StoreFixture {
 protected:
  void SetUp() override {
    store_.reset();
    mount_ = root_ + "/mount";
    std::filesystem::create_directory(mount_);
    if (mount("oncegate-test", mount_.c_str(), "tmpfs", 0, "size=24m") != 0) {
      mount_.clear();
      GTEST_SKIP() << "needs the right to mount";
    }
    options_.directory = mount_ + "/data";
    options_.durability = Durability::kSync;
    options_.memtable_bytes = 1 << 20;
  }
  ~FullDiskTest() override {
    store_.reset();
    if (!mount_.empty()) (void)umount2(mount_.c_str(), MNT_DETACH);
  }

  // Takes room away; all that is left if `bytes` is more.
  void AddBallast(size_t bytes) {
    std::ofstream file(Ballast(), std::ios::binary);
    const std::string block(64 << 10, 'b');
    for (size_t written = 0; file && written < bytes; written += block.size()) file << block << std::flush;
  }
  void RemoveBallast() { std::filesystem::remove(Ballast()); }
  [[nodiscard]] std::string Ballast() const { return mount_ + "/ballast"; }

  static std::string BodyOf(const std::string& key) {
    std::string body;
    while (body.size() < 20'000) body += key + "/" + std::to_string(body.size() * 2654435761U);
    return body;
  }
  // Claims and completes a new key; what failed.
  Status One() {
    const std::string key = "k" + std::to_string(next_++);
    Result<ClaimResult> result = store_->Claim(ClaimOf(key), Facts());
    if (!result.ok()) return result.status();
    Status status = store_->Complete(Key(key), std::get<Claimed>(*result).token, Answer(BodyOf(key)));
    if (status.ok()) completed_.insert(key);
    return status;
  }
  Status FillUp() {
    for (;;) {
      Status status = One();
      if (!status.ok() && status.code() != StatusCode::kBusy) return status;
    }
  }
  void ExpectReplays() {
    for (const std::string& key : completed_) {
      const Refused refused = MustRefuse(ClaimOf(key));
      ASSERT_TRUE(refused.record.response) << key;
      EXPECT_TRUE(refused.record.response->body == BodyOf(key)) << key;
    }
  }
  // Tries until it works, as senders do; false after ten seconds.
  bool WorksAgain() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      clock_.Advance(10);
      if (One().ok()) return true;
      std::this_thread::yield();
    }
    return false;
  }
  // It may be the first to be told of a flush that failed while there was no room, or that there was none for what it
  // would rewrite. The reaper comes again, too.
  bool CleansUpAgain() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      if (store_->Cleanup().ok()) return true;
      clock_.Advance(10);
    }
    return false;
  }
  void ExpectSound() {
    const StoreStats stats = ExactStats();
    const int64_t now_ms = store_->NowMs();
    store_.reset();
    const StoreScan scan = ScanStore(options_, now_ms);
    EXPECT_THAT(scan.damage, IsEmpty());
    EXPECT_THAT(DifferencesOf(stats, scan), IsEmpty());
    Open();
    ExpectReplays();
  }
  Status StatusOfOpening() { return OpenRocksDbStore(options_, clock_, logger_).status(); }

  std::string mount_;
  std::set<std::string> completed_;
  int next_ = 0;
};

TEST_F(FullDiskTest, ClaimsStopReplaysGoOnAndServiceReturns) {
  Open();
  for (int round = 0; round < 2; ++round) {
    AddBallast(8 << 20);
    // What it writes to tables takes less room than its log did, so that a few more fit each time.
    for (int i = 0; i < 5; ++i) {
      const Status full = FillUp();
      EXPECT_EQ(full.code(), StatusCode::kNoSpace) << full.message();
      ExpectReplays();
      clock_.Advance(1000);
    }
    RemoveBallast();
    EXPECT_TRUE(WorksAgain()) << "round " << round;
    EXPECT_TRUE(store_->CheckWritable().ok());
    ExpectReplays();
    // Makes room for the next round.
    clock_.Advance(2 * kDayMs);
    completed_.clear();
    EXPECT_TRUE(CleansUpAgain()) << "round " << round;
  }
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(One().ok());
  ExpectSound();
}

TEST_F(FullDiskTest, TheGuardStopsClaimsBeforeTheDiskDoesAndOutcomesStillFit) {
  options_.free_space_bytes_min = 4 << 20;
  Open();
  AddBallast(8 << 20);
  const Claimed open = MustClaim(ClaimOf("open"));
  Status status;
  while (status.ok()) {
    clock_.Advance(1000);
    status = One();
  }
  EXPECT_EQ(status.code(), StatusCode::kNoSpace) << status.message();
  EXPECT_THAT(status.message(), HasSubstr("bytes are free"));
  MustComplete("open", open);
  ExpectReplays();
  RemoveBallast();
  EXPECT_TRUE(WorksAgain());
  ExpectSound();
}

TEST_F(FullDiskTest, OpeningSaysThatThereIsNoSpace) {
  AddBallast(SIZE_MAX);
  const Status status = StatusOfOpening();
  EXPECT_EQ(status.code(), StatusCode::kNoSpace) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(options_.directory));
  EXPECT_THAT(status.message(), Not(HasSubstr("\n")));
  RemoveBallast();
  EXPECT_TRUE(StatusOfOpening().ok()) << StatusOfOpening().message();
}

TEST_F(FullDiskTest, AnOldStoreOnAFullDiskSaysSoAndIsNotHarmed) {
  Open();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(One().ok());
  store_.reset();
  AddBallast(SIZE_MAX);
  EXPECT_EQ(StatusOfOpening().code(), StatusCode::kNoSpace) << StatusOfOpening().message();
  RemoveBallast();
  Open();
  ExpectReplays();
}

TEST_F(FullDiskTest, OpeningSaysThatTheFileSystemIsReadOnly) {
  ASSERT_EQ(mount("oncegate-test", mount_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=24m"), 0);
  const Status absent = StatusOfOpening();
  ASSERT_EQ(mount("oncegate-test", mount_.c_str(), "tmpfs", MS_REMOUNT, "size=24m"), 0);
  Open();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(One().ok());
  store_.reset();
  ASSERT_EQ(mount("oncegate-test", mount_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=24m"), 0);
  const Status present = StatusOfOpening();
  for (const Status& status : {absent, present}) {
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status.message();
    EXPECT_THAT(status.message(), HasSubstr(options_.directory));
    EXPECT_THAT(status.message(), HasSubstr("Read-only file system"));
    EXPECT_THAT(status.message(), Not(HasSubstr("\n")));
  }
  // For looking at it that is enough.
  options_.read_only = true;
  Open();
  for (const std::string& key : completed_) EXPECT_EQ(Get(key)->response->body, BodyOf(key));
}

}  // namespace
}  // namespace oncegate

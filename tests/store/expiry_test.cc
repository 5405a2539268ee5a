#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <map>
#include <random>
#include <set>
#include <thread>

#include "store_fixture.h"

namespace oncegate {
namespace {

class ExpiryTest : public StoreFixture {
 protected:
  // How many entries each column family holds on disk and in the log, as RocksDB itself sees them. Closes the store
  // meanwhile.
  std::map<std::string, size_t> EntriesOnDisk() {
    store_.reset();
    std::vector<std::string> names;
    EXPECT_TRUE(rocksdb::DB::ListColumnFamilies({}, options_.directory, &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status status = rocksdb::DB::OpenForReadOnly({}, options_.directory, families, &handles, &raw);
    EXPECT_TRUE(status.ok()) << status.ToString();
    const std::unique_ptr<rocksdb::DB> db(raw);
    std::map<std::string, size_t> entries;
    for (size_t i = 0; i < names.size(); ++i) {
      const std::unique_ptr<rocksdb::Iterator> iterator(db->NewIterator({}, handles[i]));
      for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++entries[names[i]];
    }
    for (rocksdb::ColumnFamilyHandle* handle : handles) EXPECT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    Open();
    return entries;
  }

  uintmax_t DataBytes() {
    uintmax_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
      const std::string extension = entry.path().extension();
      std::error_code gone;  // RocksDB deletes files meanwhile
      const uintmax_t size = entry.file_size(gone);
      if ((extension == ".sst" || extension == ".blob") && !gone) bytes += size;
    }
    return bytes;
  }

  void Fill(const std::string& prefix, int count, int64_t ttl_ms, size_t body_size) {
    std::mt19937 random(static_cast<unsigned>(count));  // NOLINT(cert-msc51-cpp): incompressible, not unpredictable
    for (int i = 0; i < count; ++i) {
      ClaimRequest claim = ClaimOf(prefix + std::to_string(i));
      claim.ttl_ms = ttl_ms;
      claim.labels = {{"n", std::to_string(i)}};
      std::string body(body_size, '\0');
      for (char& c : body) c = static_cast<char>(random());
      claim.request = StoredRequest{"POST", "/", "", body, true};
      ClaimAndComplete(claim, Answer(body));
    }
  }

  CleanupReport MustCleanUp() {
    Result<CleanupReport> report = store_->Cleanup();
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? *report : CleanupReport{};
  }
};

TEST_F(ExpiryTest, ARecordEndsExactlyWhenItsTimeComes) {
  ClaimAndComplete(ClaimOf("a"));
  clock_.Advance(kDayMs - 1);
  EXPECT_TRUE(Get("a"));
  EXPECT_EQ(MustCleanUp().removed, 0U);
  EXPECT_TRUE(Get("a"));
  clock_.Advance(1);
  EXPECT_FALSE(Get("a"));
  EXPECT_EQ(MustCleanUp().removed, 1U);
  EXPECT_EQ(MustClaim(ClaimOf("a")).attempt, 1U);
}

TEST_F(ExpiryTest, MovingTheCalendarClockChangesNothing) {
  ClaimAndComplete(ClaimOf("a"));
  clock_.SetWall(kStartMs + 10 * kDayMs);
  ASSERT_EQ(MustCleanUp().removed, 0U);
  EXPECT_TRUE(Get("a"));
  clock_.SetWall(kStartMs - 10 * kDayMs);
  clock_.Advance(kDayMs);
  EXPECT_FALSE(Get("a"));
}

TEST_F(ExpiryTest, TimeNeverGoesBackOverAReopen) {
  ClaimAndComplete(ClaimOf("a"));
  clock_.Advance(kDayMs);
  EXPECT_FALSE(Get("a"));
  clock_.SetWall(kStartMs);
  Reopen();
  EXPECT_FALSE(Get("a"));
  EXPECT_GE(store_->NowMs(), kStartMs + kDayMs);
}

TEST_F(ExpiryTest, TimeGoesOnWhileTheStoreIsClosed) {
  ClaimAndComplete(ClaimOf("a"));
  store_.reset();
  clock_.SetWall(kStartMs + kDayMs);
  Open();
  EXPECT_FALSE(Get("a"));
}

TEST_F(ExpiryTest, HeldUnknownRecordsOutliveEverything) {
  const Claimed held = MustClaim(ClaimOf("held"));
  ASSERT_TRUE(store_->MarkUnknown(Key("held"), held.token).ok());
  ClaimRequest passing = ClaimOf("passing");
  passing.hold_unknown = false;
  const Claimed released = MustClaim(passing);
  ASSERT_TRUE(store_->MarkUnknown(Key("passing"), released.token).ok());
  clock_.Advance(1000 * kDayMs);
  EXPECT_EQ(MustCleanUp().removed, 1U);
  EXPECT_EQ(Get("held")->state, RecordState::kUnknown);
  EXPECT_FALSE(Get("passing"));
  EXPECT_EQ(store_->Complete(Key("passing"), released.token, Answer("late")).code(), StatusCode::kConflict);
}

class CleanupTest : public ExpiryTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(CleanupTest, TakesEverythingExpiredOffAnIdleDiskAndNothingElse) {
  const size_t body_size = GetParam();
  Fill("short", 200, kHourMs, body_size);
  Fill("long", 50, kDayMs, body_size);
  const Claimed open = MustClaim(ClaimOf("open"));
  ASSERT_TRUE(store_->AddReplays({{Key("short1"), 1}, {Key("long1"), 1}}).ok());
  ASSERT_EQ(MustCleanUp().removed, 0U);
  const uintmax_t full = DataBytes();
  clock_.Advance(kHourMs);
  const CleanupReport report = MustCleanUp();
  EXPECT_EQ(report.removed, 200U);
  // A fifth lives on; blob files of which less than a quarter has expired stay as they are, and the smallest tables
  // are as large as larger ones.
  const uintmax_t left = DataBytes();
  EXPECT_LT(left, full * 2 / 5) << "of " << full;
  EXPECT_GT(report.bytes_reclaimed, (full - left) / 2);
  EXPECT_EQ(MustCleanUp().removed, 0U);
  EXPECT_EQ(store_->Cleanups().removed_total, 200U);
  EXPECT_EQ(store_->Cleanups().runs, 3U);
  for (int i = 0; i < 50; ++i) {
    const auto record = Get("long" + std::to_string(i));
    ASSERT_TRUE(record) << i;
    EXPECT_EQ(record->response->body.size(), body_size) << i;
    EXPECT_EQ(record->request->body.size(), body_size) << i;
  }
  MustComplete("open", open);
  // The last completion makes 51; bodies of more than 4 KiB and 16 KiB stand apart.
  const size_t bodies = (body_size > 4096 ? 50U : 0U) + (body_size > 16384 ? 50U : 0U);
  std::map<std::string, size_t> entries = EntriesOnDisk();
  EXPECT_EQ(entries["records"], 51U);
  EXPECT_EQ(entries["expiry"], 51U);
  EXPECT_EQ(entries["created"], 51U);
  EXPECT_EQ(entries["labels"], 50U);
  EXPECT_EQ(entries["replays"], 1U);
  EXPECT_EQ(entries["open"], 0U);
  EXPECT_EQ(entries["bodies"], bodies) << "only the bodies of live records, their own time included";
}

INSTANTIATE_TEST_SUITE_P(BodySizes, CleanupTest, ::testing::Values(100U, 8000U, 30000U),
                         [](const auto& test) { return "Bytes" + std::to_string(test.param); });

TEST_F(ExpiryTest, CleanupOnAnEmptyStoreRemovesNothing) {
  EXPECT_EQ(MustCleanUp().removed, 0U);
  clock_.Advance(1000 * kDayMs);
  EXPECT_EQ(MustCleanUp().removed, 0U);
}

TEST_F(ExpiryTest, AClaimOverAnExpiredRecordTakesItsPlaceInEveryIndex) {
  ClaimAndComplete(ClaimOf("a"));
  clock_.Advance(kDayMs);
  ClaimAndComplete(ClaimOf("a"));
  std::map<std::string, size_t> entries = EntriesOnDisk();
  EXPECT_EQ(entries["records"], 1U);
  EXPECT_EQ(entries["expiry"], 1U);
  EXPECT_EQ(entries["created"], 1U);
  EXPECT_EQ(ExactStats().expired, 0U);
  EXPECT_EQ(ExactStats().active, 1U);
}

// A model of the store, to compare statistics with after any number of random operations.
class StatisticsTest : public ExpiryTest {
 protected:
  struct Expected {
    RecordState state = RecordState::kInProgress;
    int64_t expires_at_ms = kNever;
    std::string type;
    Token token{};
  };

  void Step() {
    const std::string key = "k" + std::to_string(random_() % 300);
    const auto found = model_.find(key);
    const bool live = found != model_.end() && found->second.expires_at_ms > store_->NowMs();
    switch (random_() % 8) {
      case 0:
      case 1:
        if (!live) ClaimInModel(key);
        break;
      case 2:
      case 3:
        if (live) CompleteInModel(key, &found->second);
        break;
      case 4:
        if (live) MarkUnknownInModel(key, &found->second);
        break;
      case 5:
        if (live && random_() % 4 == 0 && *store_->Erase(Key(key), true, false)) model_.erase(found);
        break;
      case 6:
        clock_.Advance(static_cast<int64_t>(random_() % 700));
        break;
      default:
        if (random_() % 50 == 0) CleanUpInModel();
    }
  }

  void ClaimInModel(const std::string& key) {
    ClaimRequest claim = SidecarClaimOf(key);
    claim.type = "type" + std::to_string(random_() % 3);
    claim.lease_ms = kDayMs;  // ends after the test
    claim.ttl_ms = static_cast<int64_t>(1 + random_() % 100'000);
    claim.hold_unknown = random_() % 2 == 0;
    held_[key] = claim.hold_unknown;
    ttl_[key] = claim.ttl_ms;
    model_[key] = {.type = claim.type, .token = MustClaim(claim).token};
  }
  void CompleteInModel(const std::string& key, Expected* expected) {
    if (expected->state == RecordState::kCompleted) return;
    ASSERT_TRUE(store_->Complete(Key(key), expected->token, Answer("x")).ok());
    expected->state = RecordState::kCompleted;
    expected->expires_at_ms = store_->NowMs() + ttl_[key];
  }
  void MarkUnknownInModel(const std::string& key, Expected* expected) {
    if (expected->state != RecordState::kInProgress) return;
    ASSERT_TRUE(store_->MarkUnknown(Key(key), expected->token).ok());
    expected->state = RecordState::kUnknown;
    expected->expires_at_ms = held_[key] ? kNever : store_->NowMs() + ttl_[key];
  }
  void CleanUpInModel() {
    const size_t removed =
        std::erase_if(model_, [this](const auto& entry) { return entry.second.expires_at_ms <= store_->NowMs(); });
    EXPECT_EQ(MustCleanUp().removed, removed);
  }

  void CompareStatistics(const std::string& when) {
    StoreStats expected;
    std::map<std::string, TypeCount> types;
    const int64_t now_ms = store_->NowMs();
    for (const auto& [key, record] : model_) {
      TypeCount& type = types[record.type];
      if (record.expires_at_ms <= now_ms) {
        ++expected.expired;
        ++type.expired;
        continue;
      }
      ++expected.active;
      ++type.active;
      if (record.state == RecordState::kInProgress) ++expected.in_progress;
      if (record.state == RecordState::kCompleted) ++expected.completed;
      if (record.state == RecordState::kUnknown) ++expected.unknown;
    }
    const StoreStats stats = ExactStats();
    EXPECT_EQ(stats.active, expected.active) << when;
    EXPECT_EQ(stats.expired, expected.expired) << when;
    EXPECT_EQ(stats.in_progress, expected.in_progress) << when;
    EXPECT_EQ(stats.completed, expected.completed) << when;
    EXPECT_EQ(stats.unknown, expected.unknown) << when;
    EXPECT_EQ(stats.by_type.size(), types.size()) << when;
    for (const TypeCount& type : stats.by_type) {
      EXPECT_EQ(type.active, types[type.type].active) << when << " " << type.type;
      EXPECT_EQ(type.expired, types[type.type].expired) << when << " " << type.type;
    }
    CompareExpiring(stats, when);
  }

  void CompareExpiring(const StoreStats& stats, const std::string& when) {
    int64_t from_ms = stats.now_ms;
    for (const ExpiringCount& bucket : stats.expiring) {
      uint64_t count = 0;
      for (const auto& [key, record] : model_) {
        const int64_t at_ms = record.expires_at_ms;
        if (at_ms != kNever && at_ms > stats.now_ms && at_ms >= from_ms && at_ms < bucket.until_ms) ++count;
      }
      EXPECT_EQ(bucket.count, count) << when << " until " << bucket.until_ms - stats.now_ms;
      from_ms = bucket.until_ms;
    }
  }

  std::mt19937 random_{7};  // NOLINT(cert-msc51-cpp): the same steps every time
  std::map<std::string, Expected> model_;
  std::map<std::string, bool> held_;
  std::map<std::string, int64_t> ttl_;
};

TEST_F(StatisticsTest, EqualAFullCountAfterAnything) {
  for (int round = 0; round < 30; ++round) {
    const std::string when = "round " + std::to_string(round);
    for (int i = 0; i < 400; ++i) Step();
    CompareStatistics(when);
    if (round % 7 == 3) {
      Reopen();
      CompareStatistics(when + ", reopened");
    }
    if (round % 5 == 4) {
      CleanUpInModel();
      CompareStatistics(when + ", cleaned up");
    }
  }
}

TEST_F(StatisticsTest, WritesDuringTheFirstCountAreCountedOnce) {
  for (int i = 0; i < 20'000; ++i) ClaimAndComplete(ClaimOf("a" + std::to_string(i)));
  Reopen();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(*store_->Erase(Key("a" + std::to_string(i)), false, false));
    ClaimAndComplete(ClaimOf("b" + std::to_string(i)));
  }
  EXPECT_EQ(ExactStats().completed, 20'000U);
  EXPECT_EQ(ExactStats().active, 20'000U);
}

TEST_F(StatisticsTest, StayRightUnderConcurrentCleanups) {
  std::atomic<bool> stop{false};
  std::thread time([&] {
    while (!stop) {
      clock_.Advance(3);
      EXPECT_TRUE(store_->Cleanup().ok());
    }
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < 3; ++t)
    writers.emplace_back([this, t] {
      for (int i = 0; i < 1500; ++i) {
        ClaimRequest claim = ClaimOf("w" + std::to_string(t) + "-" + std::to_string(i % 100));
        claim.ttl_ms = i % 40;
        Result<ClaimResult> result = store_->Claim(claim, Facts());
        ASSERT_TRUE(result.ok()) << result.status().message();
        if (const auto* claimed = std::get_if<Claimed>(&*result)) {
          ASSERT_TRUE(store_->Complete(claim.key, claimed->token, Answer("x")).ok());
        }
      }
    });
  for (std::thread& writer : writers) writer.join();
  stop = true;
  time.join();
  clock_.Advance(1000);
  MustCleanUp();
  const StoreStats stats = ExactStats();
  EXPECT_EQ(stats.active, 0U);
  EXPECT_EQ(stats.expired, 0U);
}

}  // namespace
}  // namespace oncegate

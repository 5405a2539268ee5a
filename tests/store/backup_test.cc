// Backups of a store that is in use, stores that were restored from them, and whether a store is right.

#include "store/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "store/database.h"
#include "store/keys.h"
#include "store/transition.h"
#include "store_fixture.h"

namespace oncegate {
namespace {

using store::Family;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class BackupFixture : public StoreFixture {
 protected:
  BackupFixture() : backups_(root_ + "/backups") {}

  BackupReport MustBackUp(uint32_t keep = 0) {
    const Result<BackupReport> report = store_->Backup(backups_, keep);
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? *report : BackupReport{};
  }
  Result<RestoreReport> Restore(const std::string& directory, uint32_t id = 0) {
    return RestoreBackup({.backups = backups_, .id = id, .directory = directory}, clock_, logger_);
  }
  // Puts a restored store into the place of the one that is open; it is not opened.
  void ReplaceByRestored() {
    store_.reset();
    options_.directory = root_ + "/restored";
    const Result<RestoreReport> report = Restore(options_.directory);
    ASSERT_TRUE(report.ok()) << report.status().message();
  }
  Status StatusOfOpening() { return store::OpenRocksDbStoreOn(platform_, options_, clock_, logger_).status(); }
  VerifyReport MustVerify() {
    const Result<VerifyReport> report = store_->Verify();
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? *report : VerifyReport{};
  }
  void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

  const std::string backups_;
};

class BackupTest : public BackupFixture {};

TEST_F(BackupTest, HoldsWhatWasThereAndNothingLater) {
  const std::string large(100'000, 'x');
  ClaimAndComplete(ClaimOf("done"), Answer("an answer"));
  ClaimAndComplete(ClaimOf("large"), Answer(large));
  ClaimRequest labelled = ClaimOf("labelled");
  labelled.labels = {{"order_id", "ord_42"}};
  ClaimAndComplete(labelled);
  MustClaim(ClaimOf("begun"));
  const BackupReport report = MustBackUp();
  EXPECT_EQ(report.id, 1U);
  EXPECT_GT(report.bytes, 0U);
  EXPECT_EQ(report.taken_at_ms, store_->NowMs());
  ClaimAndComplete(ClaimOf("later"));

  ReplaceByRestored();
  options_.restored = RestoredPolicy::kAccept;
  Open();
  EXPECT_EQ(Get("done")->response->body, "an answer");
  EXPECT_EQ(Get("large")->response->body, large);
  EXPECT_EQ(Get("begun")->state, RecordState::kUnknown);
  EXPECT_FALSE(Get("later"));
  ListFilter filter;
  filter.label.emplace("order_id", "ord_42");
  EXPECT_EQ(store_->List(filter, "", 10)->records.size(), 1U);
  const VerifyReport verified = MustVerify();
  EXPECT_THAT(verified.differences, IsEmpty());
  EXPECT_EQ(verified.records, 4U);
}

// How a store writes its log.
class BackupOfBusyStoreTest : public BackupFixture, public ::testing::WithParamInterface<Durability> {};

TEST_P(BackupOfBusyStoreTest, IsConsistent) {
  options_.durability = GetParam();
  platform_.log_room_bytes = 6000;  // used up all the time
  Reopen();
  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    for (int i = 0; !stop.load(); ++i) {
      ClaimAndComplete(ClaimOf("w" + std::to_string(i)), Answer(std::string(i % 7 == 0 ? 20'000 : 100, 'w')));
      written.store(i);
    }
  });
  for (int i = 0; i < 3; ++i) {
    while (written.load() < 200 * (i + 1)) std::this_thread::yield();
    MustBackUp();
  }
  const int at_least = written.load();
  stop.store(true);
  writer.join();
  ReplaceByRestored();
  options_.restored = RestoredPolicy::kHold;
  Open();
  const VerifyReport verified = MustVerify();
  EXPECT_THAT(verified.differences, IsEmpty());
  EXPECT_GE(verified.records, 600U);
  EXPECT_LE(verified.records, static_cast<uint64_t>(at_least) + 2);
}

INSTANTIATE_TEST_SUITE_P(With, BackupOfBusyStoreTest, ::testing::Values(Durability::kAsync, Durability::kSync),
                         [](const auto& with) { return with.param == Durability::kSync ? "Syncs" : "NoSyncs"; });

// A copy of a log that grows meanwhile ends with a whole write, and is no longer than that.
TEST_F(BackupTest, LeavesTheRoomBehindLogsOut) {
  options_.durability = Durability::kSync;
  platform_.log_room_bytes = 1 << 20;
  Reopen();
  ClaimAndComplete(ClaimOf("a"), Answer("one"));
  MustBackUp();
  uintmax_t largest = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(backups_)) {
    if (file.path().extension() == ".log") largest = std::max(largest, file.file_size());
  }
  EXPECT_GT(largest, 0U);
  EXPECT_LT(largest, 10'000U);
}

TEST_F(BackupTest, CopiesOnlyWhatIsNewAndKeepsAsManyAsAreWanted) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string body;
    while (body.size() < 1000) body += std::to_string(random());
    ClaimAndComplete(ClaimOf("a" + std::to_string(i)), Answer(body));
  }
  Reopen();  // what is in the log is written to tables
  const BackupReport first = MustBackUp();
  EXPECT_GT(first.bytes_copied, 100'000U) << "digits, compressed";
  // RocksDB may still be rewriting what it has just opened.
  BackupReport last = MustBackUp();
  for (int i = 0; i < 10 && last.bytes_copied > first.bytes_copied / 2; ++i) last = MustBackUp();
  EXPECT_LT(last.bytes_copied, first.bytes_copied / 2);
  EXPECT_EQ(last.kept, last.id);
  ClaimAndComplete(ClaimOf("b"));
  const BackupReport newest = MustBackUp(2);
  EXPECT_EQ(newest.id, last.id + 1);
  EXPECT_EQ(newest.kept, 2U);
  EXPECT_EQ(Restore(root_ + "/gone", 1).status().code(), StatusCode::kNotFound);
  const Result<RestoreReport> restored = Restore(root_ + "/last", last.id);
  ASSERT_TRUE(restored.ok()) << restored.status().message();
  EXPECT_EQ(restored->id, last.id);
  EXPECT_EQ(restored->taken_at_ms, last.taken_at_ms);
}

TEST_F(BackupTest, OfADirectoryThatNoServerUses) {
  ClaimAndComplete(ClaimOf("a"), Answer("one"));
  EXPECT_EQ(BackUpDirectory(options_, backups_, 0, clock_, logger_).status().code(), StatusCode::kConflict);
  store_.reset();
  const Result<BackupReport> report = BackUpDirectory(options_, backups_, 0, clock_, logger_);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->taken_at_ms, kStartMs);
  ReplaceByRestored();
  options_.restored = RestoredPolicy::kAccept;
  Open();
  EXPECT_EQ(Get("a")->response->body, "one");
}

// A typo in a cron job must not replace good backups by one of nothing.
TEST_F(BackupTest, OfADirectoryThatIsNotThereFailsAndMakesNone) {
  const Status status = BackUpDirectory({.directory = root_ + "/absent"}, backups_, 1, clock_, logger_).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.message();
  EXPECT_FALSE(std::filesystem::exists(root_ + "/absent"));
  std::filesystem::create_directory(root_ + "/empty");
  EXPECT_FALSE(BackUpDirectory({.directory = root_ + "/empty"}, backups_, 1, clock_, logger_).ok());
  EXPECT_FALSE(std::filesystem::exists(backups_));
}

TEST_F(BackupTest, IsForTheOwnersEyesOnly) {
  MustBackUp();
  struct stat info {};
  ASSERT_EQ(stat(backups_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST_F(BackupTest, GoesNowhereElse) {
  std::filesystem::create_directory(root_ + "/photos");
  Write(root_ + "/photos/cat.png", "a cat");
  Write(root_ + "/file", "");
  const struct {
    std::string directory;
    StatusCode code;
    const char* says;
  } rows[] = {
      {root_ + "/photos", StatusCode::kInvalidArgument, "not empty"},
      {options_.directory, StatusCode::kInvalidArgument, "in the store itself"},
      {options_.directory + "/../data/x", StatusCode::kInvalidArgument, "in the store itself"},
      {root_ + "/absent/x", StatusCode::kInvalidArgument, "does not exist"},
      {root_ + "/file", StatusCode::kInvalidArgument, "cannot read"},
      {root_ + "/file/x", StatusCode::kInvalidArgument, "cannot create"},
      {"/dev/null/x", StatusCode::kInvalidArgument, "cannot create"},
  };
  for (const auto& row : rows) {
    const Status status = store_->Backup(row.directory, 0).status();
    EXPECT_EQ(status.code(), row.code) << row.directory << ": " << status.message();
    EXPECT_THAT(status.message(), HasSubstr(row.says)) << row.directory;
  }
  EXPECT_TRUE(std::filesystem::exists(root_ + "/photos/cat.png"));
}

TEST_F(BackupTest, StopsAtTheEnd) {
  store_->Interrupt();
  EXPECT_EQ(store_->Backup(backups_, 0).status().code(), StatusCode::kUnavailable);
}

TEST_F(BackupTest, IsOnlyRestoredIntoAnEmptyDirectory) {
  MustBackUp();
  std::filesystem::create_directory(root_ + "/photos");
  Write(root_ + "/photos/cat.png", "a cat");
  EXPECT_THAT(Restore(root_ + "/photos").status().message(), HasSubstr("is not empty"));
  EXPECT_THAT(Restore(options_.directory).status().message(), HasSubstr("is not empty"));
  EXPECT_EQ(RestoreBackup({.backups = root_ + "/photos", .directory = root_ + "/x"}, clock_, logger_).status().code(),
            StatusCode::kNotFound);
  std::filesystem::create_directory(root_ + "/empty");
  EXPECT_TRUE(Restore(root_ + "/empty").ok());
}

// A server that is started while a restore is under way, or after one that was cut off, must not take half of it for a
// store.
TEST_F(BackupTest, WhatAnUnfinishedRestoreLeftIsNoStore) {
  MustBackUp();
  store_.reset();
  options_.directory = root_ + "/half";
  std::filesystem::create_directories(options_.directory + "/restore-unfinished");
  EXPECT_EQ(StatusOfOpening().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(StatusOfOpening().message(), HasSubstr("restore that was not finished"));
  EXPECT_EQ(Restore(options_.directory).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(BackupTest, ADamagedBackupIsNotRestored) {
  ClaimAndComplete(ClaimOf("a"), Answer(std::string(1000, 'a')));
  Reopen();
  MustBackUp();
  int damaged = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(backups_)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
    file.put('~');
    ++damaged;
  }
  EXPECT_GT(damaged, 0);
  const Status status = Restore(root_ + "/restored").status();
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.message();
}

class RestoredTest : public BackupFixture {
 protected:
  RestoredTest() {
    ClaimAndComplete(ClaimOf("known"), Answer("known"));
    MustBackUp();
    clock_.Advance(kHourMs);
    ReplaceByRestored();
    options_.remembered_ms = kDayMs;
  }
};

TEST_F(RestoredTest, IsNotOpenedWithoutADecision) {
  const Status status = StatusOfOpening();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("--restored hold"));
  EXPECT_THAT(status.message(), HasSubstr("2027-01-15T08:00:00.000Z"));
  // Looking at it is harmless.
  options_.read_only = true;
  Open();
  EXPECT_TRUE(Get("known"));
}

TEST_F(RestoredTest, HoldAnswersKnownKeysOnly) {
  options_.restored = RestoredPolicy::kHold;
  Open();
  EXPECT_EQ(MustRefuse(ClaimOf("known")).decision, Decision(Replay{}));
  EXPECT_EQ(MustRefuse(ClaimOf("absent")).decision, Decision(Held{}));
  EXPECT_FALSE(Get("absent"));
  const auto restored = store_->Restored();
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->policy, RestoredPolicy::kHold);
  EXPECT_EQ(restored->taken_at_ms, kStartMs);
  EXPECT_EQ(restored->until_ms, kStartMs + kHourMs + kDayMs);
}

TEST_F(RestoredTest, AcceptExecutesAndSaysThatItMayBeASecondTime) {
  options_.restored = RestoredPolicy::kAccept;
  Open();
  EXPECT_EQ(MustRefuse(ClaimOf("known")).decision, Decision(Replay{}));
  EXPECT_TRUE(MustClaim(ClaimOf("absent")).possible_duplicate);
}

// The window begins with the first start, because what was backed up may have gone on until then, and goes on over
// restarts.
TEST_F(RestoredTest, IsAStoreLikeAnyOtherOnceAllThatItMayHaveForgottenHasExpired) {
  clock_.Advance(5 * kDayMs);
  options_.restored = RestoredPolicy::kHold;
  Open();
  EXPECT_EQ(MustRefuse(ClaimOf("absent")).decision, Decision(Held{}));
  clock_.Advance(kDayMs / 2);
  Reopen();
  clock_.Advance(kDayMs / 2 - 1);
  EXPECT_EQ(MustRefuse(ClaimOf("absent")).decision, Decision(Held{}));
  clock_.Advance(1);
  EXPECT_FALSE(MustClaim(ClaimOf("absent")).possible_duplicate);
  EXPECT_FALSE(store_->Restored());
  Reopen();  // takes the mark away
  options_.restored.reset();
  Reopen();
  EXPECT_FALSE(store_->Restored());
}

// What was forgotten was claimed under the ttl of its day.
TEST_F(RestoredTest, AShorterTtlDoesNotEndItEarlier) {
  options_.restored = RestoredPolicy::kHold;
  options_.remembered_ms = kHourMs;
  Open();
  clock_.Advance(kDayMs - 1);
  Reopen();
  EXPECT_EQ(MustRefuse(ClaimOf("absent")).decision, Decision(Held{}));
  clock_.Advance(1);
  EXPECT_FALSE(store_->Restored());
}

class VerifyTest : public BackupFixture {
 protected:
  VerifyTest() {
    ClaimRequest claim = ClaimOf("a");
    claim.labels = {{"order_id", "ord_42"}};
    claim.request = StoredRequest{"POST", "/", "", std::string(10'000, 'r'), true};
    ClaimAndComplete(claim, Answer(std::string(20'000, 'a')));
    MustClaim(ClaimOf("b"));
    ClaimRequest soon = ClaimOf("soon");
    soon.ttl_ms = 1000;
    ClaimAndComplete(soon);
  }
  // Changes the closed store by hand.
  void Change(const std::function<void(store::Database&, rocksdb::WriteBatch*)>& change) {
    store_.reset();
    Result<std::unique_ptr<store::Database>> database = store::Database::Open(options_, {}, nullptr);
    ASSERT_TRUE(database.ok()) << database.status().message();
    rocksdb::WriteBatch batch;
    change(**database, &batch);
    ASSERT_TRUE((*database)->Write(&batch).ok());
    database->reset();
    Open();
  }
  // The only key of a family that holds one entry for "a", or the first.
  static std::string FirstKey(store::Database& database, Family family) {
    store::Database::Range range = database.Scan(family, {}, {});
    range->SeekToFirst();
    return range->key().ToString();
  }
};

TEST_F(VerifyTest, FindsNothingWrongWithASoundStore) {
  for (int round = 0; round < 3; ++round) {
    const VerifyReport report = MustVerify();
    EXPECT_THAT(report.differences, IsEmpty()) << round;
    EXPECT_EQ(report.records, round == 0 ? 3U : 2U) << round;
    EXPECT_EQ(report.bodies, 2U) << round;
    EXPECT_EQ(report.leftover_bodies, 0U) << round;
    if (round == 0) Reopen();
    clock_.Advance(1000);
    EXPECT_TRUE(store_->Cleanup().ok());
  }
}

TEST_F(VerifyTest, SaysWhatIsMissing) {
  for (const Family family : {Family::kExpiry, Family::kCreated, Family::kLabels, Family::kOpen, Family::kBodies}) {
    Change([family](store::Database& database, rocksdb::WriteBatch* batch) {
      (void)batch->Delete(database.Handle(family), FirstKey(database, family));
    });
  }
  const VerifyReport report = MustVerify();
  EXPECT_EQ(report.differences_total, 5U) << ::testing::PrintToString(report.differences);
  for (const char* index : {"expiry", "created", "labels", "open"})
    EXPECT_THAT(report.differences, Contains(HasSubstr("has no entry in the index '" + std::string(index) + "'")));
  EXPECT_THAT(report.differences, Contains(HasSubstr("the body of the request of 'a' of scope 'default' is missing")));
}

// What is too damaged to be counted costs others nothing. (The other is a count that cannot be read.)
TEST_F(VerifyTest, ADamagedRecordDoesNotKeepOthersFromBeingCounted) {
  for (const char* key : {"c", "d"}) ClaimAndComplete(ClaimOf(key));
  const RecordId id = Get("c")->id;
  Change([&id](store::Database& database, rocksdb::WriteBatch* batch) {
    (void)batch->Put(database.Handle(Family::kRecords), Key("a").bytes(), "nonsense");
    (void)batch->Put(database.Handle(Family::kReplays), store::ReplaysKey(Key("c"), id), "nonsense");
  });
  const Status status = store_->AddReplays({{Key("a"), 1}, {Key("c"), 2}, {Key("d"), 3}});
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Get("d")->replays, 3U);
  EXPECT_EQ(store_->CheckWritable().code(), StatusCode::kCorruption);
}

// The operator's way out of it.
TEST_F(VerifyTest, ADamagedRecordCanBeErased) {
  MustClaim(ClaimOf("c"));
  Change([](store::Database& database, rocksdb::WriteBatch* batch) {
    for (const char* key : {"a", "c"})
      (void)batch->Put(database.Handle(Family::kRecords), Key(key).bytes(), "nonsense");
  });
  for (const char* key : {"a", "c"}) {
    EXPECT_EQ(store_->Get(Key(key), RecordParts::kAll).status().code(), StatusCode::kCorruption) << key;
    EXPECT_EQ(store_->Claim(ClaimOf(key), Facts()).status().code(), StatusCode::kCorruption) << key;
    EXPECT_EQ(store_->Erase(Key(key), /*force=*/false, false).status().code(), StatusCode::kCorruption) << key;
    const Result<bool> erased = store_->Erase(Key(key), /*force=*/true, false);
    ASSERT_TRUE(erased.ok()) << erased.status().message();
    EXPECT_TRUE(*erased) << key;
    EXPECT_FALSE(Get(key)) << key;
    EXPECT_EQ(MustClaim(ClaimOf(key)).attempt, 1U) << key;
  }
}

TEST_F(VerifyTest, SaysWhatIsTooMuch) {
  Change([](store::Database& database, rocksdb::WriteBatch* batch) {
    const std::string summary =
        store::EncodeSummary({.created_at_ms = kStartMs, .type_id = 1, .state = RecordState::kUnknown});
    (void)batch->Put(database.Handle(Family::kCreated), store::CreatedKey(kStartMs, Key("ghost")), summary);
    (void)batch->Put(database.Handle(Family::kOpen), Key("a").bytes(), summary);
    (void)batch->Put(database.Handle(Family::kExpiry), store::ExpiryKey(kStartMs + kDayMs, 7, Key("b")), "\x02");
  });
  EXPECT_THAT(
      MustVerify().differences,
      ElementsAre(HasSubstr("'open' has an entry for 'a' of scope 'default' that its record does not ask for"),
                  HasSubstr("'created' has an entry for 'ghost' of scope 'default', of which there is no record"),
                  HasSubstr("'expiry' has an entry for 'b' of scope 'default' that its record")));
}

TEST_F(VerifyTest, SaysWhatIsNotWhatWasWritten) {
  Change([](store::Database& database, rocksdb::WriteBatch* batch) {
    rocksdb::PinnableSlice value;
    ASSERT_TRUE(*database.Get(Family::kRecords, Key("b").bytes(), &value));
    std::string damaged = value.ToString();
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    (void)batch->Put(database.Handle(Family::kRecords), Key("b").bytes(), damaged);
    (void)batch->Put(database.Handle(Family::kBodies), FirstKey(database, Family::kBodies), std::string(10'000, 'q'));
  });
  const VerifyReport report = MustVerify();
  EXPECT_THAT(report.differences, Contains(HasSubstr("the record of 'b' of scope 'default'")));
  EXPECT_THAT(report.differences, Contains(HasSubstr("the body of the request of 'a' of scope 'default' is not what")));
  EXPECT_THAT(report.differences, Not(Contains(HasSubstr("'soon'"))));
}

TEST_F(VerifyTest, WaitsForNobodyAtTheEnd) {
  store_->Interrupt();
  for (int i = 0; i < 5000; ++i) MustClaim(ClaimOf("n" + std::to_string(i)));
  EXPECT_EQ(store_->Verify().status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace oncegate

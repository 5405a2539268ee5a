// Disks that are full, broken or slow: claims are refused, what is known is still known, and when the disk works again
// so does the store.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <thread>

#include "faulty_disk.h"
#include "store_fixture.h"
#include "store_scan.h"

namespace oncegate {
namespace {

using Operation = FaultyDisk::Operation;
using ::testing::AnyOf;
using ::testing::IsEmpty;

class DiskFixture : public StoreFixture {
 protected:
  DiskFixture() : disk_(root_ + "/scratch") {
    store_.reset();
    options_.durability = Durability::kSync;
    options_.directory = root_ + "/disk";
    options_.memtable_bytes = 256 << 10;
    platform_.env = disk_.env();
    platform_.free_space_bytes = [this](const std::string& /*directory*/) {
      return Result<int64_t>(free_bytes_.load());
    };
    Open();
  }
  ~DiskFixture() override { store_.reset(); }

  void ClaimAndCompleteMany(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "k" + std::to_string(next_++);
      ClaimAndComplete(ClaimOf(key), Answer(key));
      completed_.insert(key);
    }
  }
  // Whatever else happens: what was acknowledged is replayed.
  void ExpectReplays() {
    for (const std::string& key : completed_) {
      Result<std::optional<Record>> found = store_->Get(Key(key), RecordParts::kReplay);
      while (found.status().code() == StatusCode::kBusy) found = store_->Get(Key(key), RecordParts::kReplay);
      ASSERT_TRUE(found.ok()) << key << ": " << found.status().message();
      const std::optional<Record>& record = *found;
      ASSERT_TRUE(record) << key;
      ASSERT_TRUE(record->response) << key;
      EXPECT_EQ(record->response->body, key);
    }
  }
  Status TryClaim() { return store_->Claim(ClaimOf("try" + std::to_string(next_++)), Facts()).status(); }
  // Claims until it works, while time passes.
  bool WorksAgain() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (TryClaim().ok()) return true;
      clock_.Advance(10);
      std::this_thread::yield();
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

  FaultyDisk disk_;
  std::atomic<int64_t> free_bytes_{1LL << 40};
  std::set<std::string> completed_;
  int next_ = 0;
};

struct FaultCase {
  const char* name;
  Operation operation;
  const char* file;
  bool no_space;

  friend void PrintTo(const FaultCase& fault, std::ostream* out) { *out << fault.name; }
};

class DiskFaultTest : public DiskFixture, public ::testing::WithParamInterface<FaultCase> {};

TEST_P(DiskFaultTest, ClaimsFailReplaysGoOnAndServiceReturns) {
  const FaultCase& fault = GetParam();
  ClaimAndCompleteMany(50);
  for (int round = 0; round < 2; ++round) {
    const std::string when = "round " + std::to_string(round);
    const Claimed open = MustClaim(ClaimOf("open" + std::to_string(round)));
    disk_.Break(fault.operation, fault.file,
                fault.no_space ? FaultyDisk::NoSpaceLeft() : FaultyDisk::InputOutputError());
    // Enough for the small memtables to be flushed.
    Status failed;
    for (int i = 0; i < 200 && failed.ok(); ++i) {
      ClaimRequest claim = ClaimOf("try" + std::to_string(next_++));
      claim.request = StoredRequest{"POST", "/", "", std::string(4000, 'r'), true};
      failed = store_->Claim(claim, Facts()).status();
    }
    ASSERT_FALSE(failed.ok()) << when;
    EXPECT_THAT(failed.code(), AnyOf(StatusCode::kNoSpace, StatusCode::kUnavailable)) << when << failed.message();
    for (int i = 0; i < 3; ++i) {
      clock_.Advance(1000);
      EXPECT_FALSE(TryClaim().ok()) << when;
      EXPECT_FALSE(store_->CheckWritable().ok()) << when;
      ExpectReplays();
    }
    EXPECT_GT(disk_.faults(), 0) << when;
    disk_.Heal();
    clock_.Advance(1000);
    EXPECT_TRUE(WorksAgain()) << when;
    EXPECT_TRUE(store_->CheckWritable().ok()) << when;
    // The owner of a claim from before the fault may settle it after.
    MustComplete("open" + std::to_string(round), open, Answer("open" + std::to_string(round)));
    completed_.insert("open" + std::to_string(round));
    ClaimAndCompleteMany(20);
    ExpectReplays();
  }
  ExpectSound();
}

INSTANTIATE_TEST_SUITE_P(Kinds, DiskFaultTest,
                         ::testing::Values(FaultCase{"FullDisk", Operation::kAppend, "", true},
                                           FaultCase{"BrokenDisk", Operation::kAppend, "", false},
                                           FaultCase{"LogAppendNoSpace", Operation::kAppend, ".log", true},
                                           FaultCase{"LogAppendError", Operation::kAppend, ".log", false},
                                           FaultCase{"LogSyncError", Operation::kSync, ".log", false},
                                           FaultCase{"LogSyncNoSpace", Operation::kSync, ".log", true},
                                           FaultCase{"TableAppendNoSpace", Operation::kAppend, ".sst", true},
                                           FaultCase{"TableAppendError", Operation::kAppend, ".sst", false},
                                           FaultCase{"TableSyncError", Operation::kSync, ".sst", false},
                                           FaultCase{"ManifestError", Operation::kSync, "MANIFEST", false}),
                         [](const auto& test) { return std::string(test.param.name); });

class DoubtedClaimTest : public DiskFixture {};

// A log whose sync failed may hold the claim all the same. Nobody acted on it, so that its key must not be held as one
// whose outcome is unknown.
TEST_F(DoubtedClaimTest, AClaimThatFailedIsTakenBackAlthoughItIsOnDisk) {
  ClaimAndCompleteMany(5);
  disk_.Break(Operation::kSync, ".log", FaultyDisk::InputOutputError());
  EXPECT_FALSE(store_->Claim(ClaimOf("x"), Facts()).ok());
  disk_.Heal();
  clock_.Advance(1000);
  EXPECT_TRUE(WorksAgain());
  EXPECT_EQ(MustClaim(ClaimOf("x")).attempt, 1U);
  ExpectSound();
}

// One write for many: when it fails it fails for each, and nothing of it is believed, though its bytes are in the log.
TEST_F(DoubtedClaimTest, AWriteForManyThatFailedFailsEachAndIsTakenBack) {
  const Claimed open = MustClaim(ClaimOf("open"));
  const Claimed unclear = MustClaim(ClaimOf("unclear"));
  ASSERT_TRUE(store_->MarkUnknown(Key("unclear"), unclear.token).ok());
  ClaimAndCompleteMany(5);
  const std::string known = *completed_.begin();
  const std::vector<std::string> fresh = {"a", "b", "c"};
  std::vector<StoreCall> calls;
  for (const std::string& key : fresh) calls.emplace_back(ClaimCall{ClaimOf(key), Facts()});
  calls.emplace_back(ClaimCall{ClaimOf("unclear"), ReleaseFacts()});
  calls.emplace_back(CompleteCall{Key("open"), open.token, Answer("open")});
  calls.emplace_back(ClaimCall{ClaimOf(known), Facts()});  // has nothing to write
  calls.emplace_back(ClaimCall{ClaimOf("a"), Facts()});    // waits for the first
  disk_.Break(Operation::kSync, ".log", FaultyDisk::InputOutputError());
  store_->CallTogether(&calls);
  for (size_t i = 0; i < calls.size(); ++i) {
    const auto* claim = std::get_if<ClaimCall>(&calls[i]);
    const Status& status = claim != nullptr ? claim->result.status() : std::get<CompleteCall>(calls[i]).status;
    if (i != 5) {
      EXPECT_EQ(status.code(), StatusCode::kUnavailable) << i << status.message();
    }
  }
  const Result<ClaimResult>& replay = std::get<ClaimCall>(calls[5]).result;
  ASSERT_TRUE(replay.ok()) << replay.status().message();
  EXPECT_EQ(std::get<Refused>(*replay).decision, Decision(Replay{}));
  EXPECT_EQ(std::get<CompleteCall>(calls[4]).response, Answer("open")) << "it is to be stored later";
  ExpectReplays();

  disk_.Heal();
  clock_.Advance(1000);
  EXPECT_TRUE(WorksAgain());
  for (const std::string& key : fresh) EXPECT_EQ(MustClaim(ClaimOf(key)).attempt, 1U) << key;
  EXPECT_EQ(MustRefuse(ClaimOf("unclear")).decision, Decision(OutcomeUnknown{}));
  // The log may have held it when the store was opened again, so that this is its first time or a repetition.
  MustComplete("open", open, Answer("open"));
  completed_.insert("open");
  ExpectSound();
}

// Under --on-store-error forward the application may have been asked all the same.
TEST_F(DoubtedClaimTest, AClaimThatMayBeActedOnIsNotTakenBack) {
  ClaimAndCompleteMany(5);
  disk_.Break(Operation::kSync, ".log", FaultyDisk::InputOutputError());
  ClaimRequest claim = ClaimOf("x");
  claim.acts_on_failure = true;
  EXPECT_FALSE(store_->Claim(claim, Facts()).ok());
  disk_.Heal();
  clock_.Advance(1000);
  EXPECT_TRUE(WorksAgain());
  EXPECT_EQ(MustRefuse(ClaimOf("x")).decision, Decision(OutcomeUnknown{}));
}

// Behind a second attempt there is a first, which may have taken effect.
TEST_F(DoubtedClaimTest, ASecondAttemptThatFailedIsNotTakenBack) {
  const Claimed first = MustClaim(ClaimOf("x"));
  ASSERT_TRUE(store_->MarkUnknown(Key("x"), first.token).ok());
  disk_.Break(Operation::kSync, ".log", FaultyDisk::InputOutputError());
  EXPECT_FALSE(store_->Claim(ClaimOf("x"), ReleaseFacts()).ok());
  disk_.Heal();
  clock_.Advance(1000);
  EXPECT_TRUE(WorksAgain());
  EXPECT_EQ(MustRefuse(ClaimOf("x")).decision, Decision(OutcomeUnknown{}));
  ExpectSound();
}

class FullDiskTest : public DiskFixture {};

// Found here: RocksDB's own log file aborted the process at its second line on a full disk.
TEST_F(FullDiskTest, OpeningOnAFullDiskFailsAndDoesNotAbort) {
  ClaimAndCompleteMany(5);
  store_.reset();
  disk_.FillUp();
  for (const std::string& directory : {options_.directory, root_ + "/new"}) {
    RocksDbStoreOptions options = options_;
    options.directory = directory;
    const Status status = store::OpenRocksDbStoreOn(platform_, options, clock_, logger_).status();
    EXPECT_EQ(status.code(), StatusCode::kNoSpace) << status.message();
  }
  disk_.Heal();
  Open();
  ExpectReplays();
}

// Found here: closing synced the log, and RocksDB aborts when it is asked to sync one that could not be written.
TEST_F(FullDiskTest, AStoreWhoseLogFailedCanBeClosed) {
  for (const auto durability : {Durability::kSync, Durability::kAsync}) {
    store_.reset();
    options_.durability = durability;
    Open();
    ClaimAndCompleteMany(5);
    disk_.Break(Operation::kAppend, "", FaultyDisk::InputOutputError());
    EXPECT_EQ(TryClaim().code(), StatusCode::kUnavailable);
    store_.reset();
    disk_.Heal();
    Open();
    ExpectReplays();
  }
}

// Likewise when the log was not written by us but synced by a flush, and nobody has written since.
TEST_F(FullDiskTest, AStoreWhoseLogCouldNotBeSyncedByAFlushIsOpenedAnew) {
  store_.reset();
  options_.durability = Durability::kAsync;
  Open();
  ClaimAndCompleteMany(5);
  disk_.Break(Operation::kSync, ".log", FaultyDisk::InputOutputError());
  EXPECT_EQ(store_->Cleanup().status().code(), StatusCode::kUnavailable);
  ExpectReplays();
  disk_.Heal();
  EXPECT_TRUE(WorksAgain());
  ExpectSound();
}

class CompactionTest : public DiskFixture {
 protected:
  // Tables pile up until there is one compaction for each.
  void FillUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done()) {
      ASSERT_TRUE(std::chrono::steady_clock::now() < deadline);
      const Status status = ClaimAndCompleteFiller();
      ASSERT_TRUE(status.ok()) << status.message();
    }
  }
  // Until compactions have taken most of them away, while time passes.
  void WaitUntilCompacted() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const size_t tables = Tables();
    while (Tables() > tables / 2) {
      ASSERT_TRUE(std::chrono::steady_clock::now() < deadline);
      clock_.Advance(10);
      std::this_thread::yield();
    }
  }
  // How RocksDB was told to work, as it writes it down: what `option` is in each family.
  [[nodiscard]] std::map<std::string, std::string> Told(const std::string& option) const {
    std::string newest;
    for (const auto& [name, size] : FilesAndSizes()) {
      if (name.starts_with("OPTIONS-") && name.find("tmp") == std::string::npos) newest = name;
    }
    std::ifstream file(options_.directory + "/" + newest);
    std::map<std::string, std::string> told;
    std::string family;
    for (std::string line; std::getline(file, line);) {
      const std::string section = "[CFOptions \"";
      if (line.starts_with(section)) family = line.substr(section.size(), line.rfind('"') - section.size());
      const size_t place = line.find(option + "=");
      if (place != std::string::npos) told[family] = line.substr(place + option.size() + 1);
    }
    return told;
  }
  [[nodiscard]] bool Rest(const std::string& family) const {
    return Told("disable_auto_compactions")[family] == "true";
  }
  [[nodiscard]] size_t Tables() const {
    size_t tables = 0;
    for (const auto& [name, size] : FilesAndSizes()) tables += name.ends_with(".sst") ? 1 : 0;
    return tables;
  }
  // The first `times` of a cleanup's writes to the manifest fail. What the cleanup said.
  Status FailToWriteACleanupDown(const rocksdb::IOStatus& error, int times) {
    const int64_t faults = disk_.faults();
    Status cleaned;
    // Where RocksDB's own compactions are faster a cleanup finds nothing left to do.
    for (int tries = 0; tries < 50 && disk_.faults() == faults; ++tries) {
      ClaimAndCompleteMany(20);
      for (int i = 0; i < 200; ++i) EXPECT_TRUE(ClaimAndCompleteFiller().ok());
      EXPECT_TRUE(store_->Cleanup().ok());
      ClaimAndCompleteMany(20);
      clock_.Advance(kHourMs);
      disk_.BreakCallers(Operation::kSync, "MANIFEST", error, times);
      cleaned = store_->Cleanup().status();
      disk_.Heal();
    }
    EXPECT_GT(disk_.faults(), faults);
    return cleaned;
  }
  // One that expires in an hour.
  Status ClaimAndCompleteFiller() {
    ClaimRequest claim = ClaimOf("filler" + std::to_string(next_++));
    claim.request = StoredRequest{"POST", "/", "", std::string(4000, 'r'), true};
    claim.ttl_ms = kHourMs;
    const Result<ClaimResult> result = store_->Claim(claim, Facts());
    if (!result.ok()) return result.status();
    return store_->Complete(claim.key, std::get<Claimed>(*result).token, Answer("filler"));
  }
};

// Found here: RocksDB kept such an error, and after the second one failed every flush until it saw more room than there
// was; or it made flushes and writes wait for compactions. With them waits the cleanup that makes room.
TEST_F(CompactionTest, FindingNoRoomStopsNeitherClaimsNorCleanups) {
  ClaimAndCompleteMany(5);
  disk_.BreakCompactions(Operation::kAppend, ".sst", FaultyDisk::NoSpaceLeft());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  constexpr int kFillers = 2600;  // more flushes than RocksDB lets wait by default
  int fillers = 0;
  while (fillers < kFillers || (disk_.faults() < 2 && std::chrono::steady_clock::now() < deadline)) {
    const Status status = ClaimAndCompleteFiller();
    ASSERT_TRUE(status.ok()) << fillers << status.message();
    ++fillers;
  }
  ASSERT_GE(disk_.faults(), 2);
  ExpectReplays();
  clock_.Advance(kHourMs);
  const Result<CleanupReport> report = store_->Cleanup();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->removed, static_cast<uint64_t>(fillers));
  ClaimAndCompleteMany(5);
  EXPECT_TRUE(store_->CheckWritable().ok());
  disk_.Heal();
  ExpectSound();
}

// The same one would otherwise be begun again every second.
TEST_F(CompactionTest, FailingOnesRestAndAreTriedAgain) {
  store_.reset();
  options_.cleanup_interval_ms = 20;  // the reaper looks after them when it is awake, and wakes for this
  Open();
  disk_.BreakCompactions(Operation::kAppend, ".sst", FaultyDisk::InputOutputError());
  FillUntil([this] { return disk_.faults() > 0; });
  FillUntil([this] {
    clock_.Advance(100);
    return Rest("records");
  });
  EXPECT_FALSE(Rest("labels")) << "nothing of them failed";
  EXPECT_GT(store_->Cleanups().background_errors, 0U);
  EXPECT_TRUE(store_->CheckWritable().ok());
  FillUntil([this] { return Tables() > 100; });
  disk_.Heal();
  WaitUntilCompacted();
  FillUntil([this] {
    clock_.Advance(100);
    return !Rest("records");
  });
  ExpectSound();
}

// RocksDB's waits for compactions have no end where their errors are not kept.
TEST_F(CompactionTest, AreWaitedForByNobody) {
  for (const char* option : {"level0_slowdown_writes_trigger", "level0_stop_writes_trigger"}) {
    const std::map<std::string, std::string> told = Told(option);
    EXPECT_EQ(told.size(), 8U);
    for (const auto& [family, files] : told) EXPECT_EQ(files, std::to_string(INT_MAX)) << family;
  }
  for (const char* option : {"soft_pending_compaction_bytes_limit", "hard_pending_compaction_bytes_limit"}) {
    for (const auto& [family, bytes] : Told(option)) EXPECT_EQ(bytes, "0") << family;
  }
}

// Found here: the change may be in the manifest although writing it failed, RocksDB deleted the files that it names,
// and the store did not open again.
TEST_F(CompactionTest, OfCleanupsThatCannotBeWrittenDownLeaveAStoreThatOpens) {
  for (const bool no_space : {false, true}) {
    for (const bool heals_at_once : {true, false}) {
      const Status cleaned = FailToWriteACleanupDown(
          no_space ? FaultyDisk::NoSpaceLeft() : FaultyDisk::InputOutputError(), heals_at_once ? 1 : INT_MAX);
      EXPECT_EQ(cleaned.code(), no_space ? StatusCode::kNoSpace : StatusCode::kUnavailable) << cleaned.message();
      EXPECT_TRUE(heals_at_once || WorksAgain());
      EXPECT_TRUE(store_->CheckWritable().ok());
      ClaimAndCompleteMany(5);
      ExpectSound();
    }
  }
}

// To open it anew takes as much room as its logs, which may be what is not there.
TEST_F(CompactionTest, OfCleanupsMakeRoomOnceTheyCanBeWrittenDownAgain) {
  disk_.set_free_bytes(0);
  (void)FailToWriteACleanupDown(FaultyDisk::NoSpaceLeft(), INT_MAX);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(ClaimAndCompleteFiller().ok());
  const size_t tables = Tables();
  clock_.Advance(kHourMs);
  const Result<CleanupReport> report = store_->Cleanup();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_LT(Tables(), tables) << "those that hold nothing any more are still there";
  EXPECT_TRUE(store_->CheckWritable().ok());
  disk_.set_free_bytes(uint64_t{1} << 40);
  ExpectSound();
}

TEST_F(CompactionTest, OfRocksDbThatCannotBeWrittenDownLeaveAStoreThatOpens) {
  disk_.BreakCompactions(Operation::kSync, "MANIFEST", FaultyDisk::InputOutputError());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  // Until RocksDB has taken note of it, too.
  while (ClaimAndCompleteFiller().ok()) ASSERT_TRUE(std::chrono::steady_clock::now() < deadline);
  ASSERT_GT(disk_.faults(), 0);
  disk_.Heal();
  clock_.Advance(1000);
  EXPECT_TRUE(WorksAgain());
  EXPECT_TRUE(store_->CheckWritable().ok());
  ClaimAndCompleteMany(5);
  ExpectSound();
}

// What the guard of free space keeps from new keys is not there for compactions to fill.
TEST_F(CompactionTest, LeaveRoomToLogsAndFlushes) {
  store_.reset();
  options_.free_space_bytes_min = 64 << 20;
  Open();
  disk_.set_free_bytes(32 << 20);
  FillUntil([this] { return Tables() > 100 && store_->Cleanups().background_errors > 0; });
  disk_.set_free_bytes(48 << 20);
  WaitUntilCompacted();
  ExpectSound();
}

class SlowDiskTest : public DiskFixture {};

TEST_F(SlowDiskTest, ASyncThatHangsHoldsUpNobodyWhoReads) {
  ClaimAndCompleteMany(10);
  disk_.BlockSyncs(".log");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([this, i] { EXPECT_TRUE(store_->Claim(ClaimOf("slow" + std::to_string(i)), Facts()).ok()); });
  disk_.WaitUntilBlocked(1);
  threads.emplace_back([this] { EXPECT_TRUE(store_->Cleanup().ok()); });
  ExpectReplays();
  EXPECT_TRUE(store_->Stats().ok());
  EXPECT_TRUE(store_->List({}, "", 10).ok());
  disk_.Unblock();
  for (std::thread& thread : threads) thread.join();
  ExpectSound();
}

// Index and counters agree only while nobody stands between writing and counting. In between this cleanup would find a
// record that expires within its last second in neither.
TEST_F(SlowDiskTest, ACleanupWaitsForTheWritersThatAreUnderWay) {
  ClaimRequest claim = ClaimOf("a");
  claim.ttl_ms = 10;
  const Claimed claimed = MustClaim(claim);
  disk_.BlockSyncs(".log");
  std::thread writer([&] { MustComplete("a", claimed); });
  disk_.WaitUntilBlocked(1);
  clock_.Advance(10);
  std::future<Result<CleanupReport>> cleanup = std::async(std::launch::async, [this] { return store_->Cleanup(); });
  EXPECT_EQ(cleanup.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  disk_.Unblock();
  writer.join();
  const Result<CleanupReport> report = cleanup.get();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->removed, 1U);
}

// What hangs with locks in hand must end when the disk goes on, whatever else was asked of it meanwhile.
TEST_F(SlowDiskTest, CallsTogetherThatHangHoldUpNobodyWhoReadsAndEnd) {
  ClaimAndCompleteMany(10);
  disk_.BlockSyncs(".log");
  const auto claim_some = [this](const std::string& prefix, int count) {
    std::vector<StoreCall> calls;
    for (int i = 0; i < count; ++i) calls.emplace_back(ClaimCall{ClaimOf(prefix + std::to_string(i)), Facts()});
    store_->CallTogether(&calls);
    for (const StoreCall& call : calls) EXPECT_TRUE(std::get<ClaimCall>(call).result.ok()) << prefix;
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { claim_some("a", 200); });
  disk_.WaitUntilBlocked(1);
  threads.emplace_back([&] { claim_some("b", 200); });
  threads.emplace_back([this] { EXPECT_TRUE(store_->Claim(ClaimOf("a7"), Facts()).ok()); });
  threads.emplace_back([this] { EXPECT_TRUE(store_->Cleanup().ok()); });
  ExpectReplays();
  EXPECT_TRUE(store_->List({}, "", 10).ok());
  disk_.Unblock();
  for (std::thread& thread : threads) thread.join();
  ExpectSound();
}

class FreeSpaceTest : public DiskFixture {};

TEST_F(FreeSpaceTest, ClaimsStopAtTheGuardAndResumeWithinASecond) {
  options_.free_space_bytes_min = 1000;
  Reopen();
  const Claimed open = MustClaim(ClaimOf("open"));
  free_bytes_ = 999;
  clock_.Advance(1000);
  EXPECT_EQ(TryClaim().code(), StatusCode::kNoSpace);
  EXPECT_EQ(store_->CheckWritable().code(), StatusCode::kNoSpace);
  MustComplete("open", open);
  EXPECT_EQ(MustRefuse(ClaimOf("open")).decision, Decision(Replay{}));
  free_bytes_ = 1000;
  clock_.Advance(999);
  EXPECT_EQ(TryClaim().code(), StatusCode::kNoSpace);
  clock_.Advance(1);
  EXPECT_TRUE(TryClaim().ok());
  EXPECT_TRUE(store_->CheckWritable().ok());
}

TEST_F(FreeSpaceTest, ClaimsAreRefusedWhenItCannotBeFoundOut) {
  platform_.free_space_bytes = [](const std::string&) { return Result<int64_t>(Unavailable("no answer")); };
  Reopen();
  EXPECT_EQ(TryClaim().code(), StatusCode::kUnavailable);
  EXPECT_EQ(TryClaim().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace oncegate

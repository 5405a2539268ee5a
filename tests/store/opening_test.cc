#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "store_fixture.h"

namespace oncegate {
namespace {

class OpeningTest : public StoreFixture {
 protected:
  // What opening `directory` says; kOk and an empty message if it works.
  Status StatusOfOpening(const std::string& directory, bool read_only = false) {
    RocksDbStoreOptions options = options_;
    options.directory = directory;
    options.read_only = read_only;
    return OpenRocksDbStore(options, clock_, logger_).status();
  }
  static size_t FilesIn(const std::string& directory) {
    const std::filesystem::directory_iterator files(directory);
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
  // Opens the closed store's database without the store.
  std::unique_ptr<rocksdb::DB> OpenRaw(const std::string& directory,
                                       std::vector<rocksdb::ColumnFamilyHandle*>* handles) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.create_missing_column_families = true;
    std::vector<std::string> names;
    if (!rocksdb::DB::ListColumnFamilies(options, directory, &names).ok()) names = {"default"};
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, directory, families, handles, &raw);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<rocksdb::DB>(raw);
  }
  void PutRaw(const std::string& family, const std::string& key, const std::string& value) {
    store_.reset();
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    const auto db = OpenRaw(options_.directory, &handles);
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (handle->GetName() != family) continue;
      EXPECT_TRUE(db->Put({}, handle, key, value).ok());
    }
    for (rocksdb::ColumnFamilyHandle* handle : handles) EXPECT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
  }
};

TEST_F(OpeningTest, TheDirectoryIsForItsOwnerOnly) {
  struct stat info {};
  ASSERT_EQ(stat(options_.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(OpeningTest, ADirectoryInUseIsRefused) {
  MustClaim(SidecarClaimOf("a"));
  const Status status = StatusOfOpening(options_.directory);
  EXPECT_EQ(status.code(), StatusCode::kConflict);
  EXPECT_EQ(status.message(), "the data directory " + options_.directory + " is in use by another process");
  EXPECT_TRUE(Get("a"));
}

TEST_F(OpeningTest, ADirectoryOfSomebodyElseIsLeftAlone) {
  const std::string directory = root_ + "/documents";
  std::filesystem::create_directory(directory);
  std::ofstream(directory + "/letter.txt") << "dear";
  const Status status = StatusOfOpening(directory);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(directory), std::string::npos) << status.message();
  EXPECT_EQ(FilesIn(directory), 1U);
}

TEST_F(OpeningTest, ADatabaseOfSomebodyElseIsLeftAlone) {
  const std::string directory = root_ + "/database";
  {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    const auto db = OpenRaw(directory, &handles);
    ASSERT_TRUE(db->Put({}, "their", "data").ok());
    ASSERT_TRUE(db->DestroyColumnFamilyHandle(handles[0]).ok());
  }
  const size_t files = FilesIn(directory);
  EXPECT_EQ(StatusOfOpening(directory).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(FilesIn(directory), files);
}

TEST_F(OpeningTest, ALaterFormatIsRefusedByName) {
  PutRaw("default", "oncegate.format", "3");
  const Status status = StatusOfOpening(options_.directory);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "the data directory " + options_.directory + " has format 3; this program reads up to format 2");
}

TEST_F(OpeningTest, AnInterruptedCreationIsFinished) {
  const std::string before_current = root_ + "/before";
  std::filesystem::create_directory(before_current);
  std::ofstream(before_current + "/LOCK");
  std::ofstream(before_current + "/MANIFEST-000001") << "torn";
  EXPECT_TRUE(StatusOfOpening(before_current).ok()) << StatusOfOpening(before_current).message();
  const std::string after_current = root_ + "/after";
  {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    const auto db = OpenRaw(after_current, &handles);
    ASSERT_TRUE(db->DestroyColumnFamilyHandle(handles[0]).ok());
  }
  EXPECT_TRUE(StatusOfOpening(after_current).ok()) << StatusOfOpening(after_current).message();
}

TEST_F(OpeningTest, AStoreThatLostItsManifestIsNotBegunAnew) {
  MustClaim(ClaimOf("a"));
  store_.reset();
  std::filesystem::remove(options_.directory + "/CURRENT");
  EXPECT_FALSE(StatusOfOpening(options_.directory).ok());
}

TEST_F(OpeningTest, WhatCannotBeADirectoryIsRefused) {
  std::ofstream(root_ + "/file") << "x";
  EXPECT_EQ(StatusOfOpening(root_ + "/file").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusOfOpening(root_ + "/file/data").code(), StatusCode::kUnavailable);
  const Status parent = StatusOfOpening(root_ + "/no/such");
  EXPECT_EQ(parent.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(parent.message().find("the directory above it does not exist"), std::string::npos) << parent.message();
  EXPECT_EQ(StatusOfOpening(root_ + "/absent", /*read_only=*/true).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/absent"));
}

TEST_F(OpeningTest, ADirectoryWithoutPermissionIsUnavailable) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  const std::string directory = root_ + "/sealed";
  std::filesystem::create_directory(directory);
  std::filesystem::permissions(directory, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT_EQ(StatusOfOpening(directory).code(), StatusCode::kUnavailable);
}

TEST_F(OpeningTest, ReadingOnlyChangesNothing) {
  ClaimAndComplete(ClaimOf("done"));
  MustClaim(ClaimOf("open"));
  store_.reset();
  const size_t files = FilesIn(options_.directory);
  options_.read_only = true;
  Open();
  EXPECT_EQ(Get("done")->state, RecordState::kCompleted);
  EXPECT_EQ(Get("open")->state, RecordState::kInProgress);
  EXPECT_EQ(store_->List({}, "", 10)->records.size(), 2U);
  EXPECT_EQ(ExactStats().active, 2U);
  EXPECT_EQ(store_->Claim(ClaimOf("new"), Facts()).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->Release(Key("open"), Get("open")->token).code(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->Erase(Key("done"), true, false).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->AddReplays({{Key("done"), 1}}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->Cleanup().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->CheckWritable().code(), StatusCode::kUnavailable);
  store_.reset();
  EXPECT_EQ(FilesIn(options_.directory), files);
}

TEST_F(OpeningTest, ADamagedRecordIsNeverServedAndCanBeErased) {
  MustClaim(ClaimOf("damaged"));
  ClaimAndComplete(ClaimOf("sound"));
  PutRaw("records", Key("damaged").bytes(), "garbage");
  Open();
  EXPECT_EQ(store_->Get(Key("damaged"), RecordParts::kReplay).status().code(), StatusCode::kCorruption);
  EXPECT_EQ(store_->Claim(ClaimOf("damaged"), Facts()).status().code(), StatusCode::kCorruption);
  EXPECT_EQ(store_->List({}, "", 10)->records.size(), 1U);
  EXPECT_TRUE(Get("sound"));
  EXPECT_EQ(store_->Erase(Key("damaged"), false, false).status().code(), StatusCode::kCorruption);
  EXPECT_TRUE(*store_->Erase(Key("damaged"), true, false));
  EXPECT_EQ(ExactStats().active, 1U);
  MustClaim(ClaimOf("damaged"));
}

TEST_F(OpeningTest, AMissingBodyIsCorruption) {
  ClaimAndComplete(ClaimOf("a"), Answer(std::string(100'000, 'x')));
  store_.reset();
  {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    const auto db = OpenRaw(options_.directory, &handles);
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (handle->GetName() != "bodies") continue;
      const std::unique_ptr<rocksdb::Iterator> iterator(db->NewIterator({}, handle));
      for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next())
        ASSERT_TRUE(db->Delete({}, handle, iterator->key()).ok());
    }
    for (rocksdb::ColumnFamilyHandle* handle : handles) ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
  }
  Open();
  EXPECT_EQ(store_->Get(Key("a"), RecordParts::kReplay).status().code(), StatusCode::kCorruption);
}

// The log of a store that was killed: its last record torn is what nobody was told of; damage before that is not.
class LogDamageTest : public OpeningTest {
 protected:
  // A copy of the directory, as it would be found after kill -9, with its largest log.
  std::string Killed(std::string* log) {
    const std::string copy = root_ + "/killed";
    CopyOpenStore(copy);
    uintmax_t largest = 0;
    for (const auto& entry : std::filesystem::directory_iterator(copy)) {
      if (entry.path().extension() != ".log" || entry.file_size() < largest) continue;
      largest = entry.file_size();
      *log = entry.path();
    }
    return copy;
  }
};

TEST_F(LogDamageTest, ATornEndIsAccepted) {
  for (int i = 0; i < 100; ++i) ClaimAndComplete(ClaimOf("k" + std::to_string(i)));
  std::string log;
  const std::string copy = Killed(&log);
  std::filesystem::resize_file(log, std::filesystem::file_size(log) - 10);
  store_.reset();
  options_.directory = copy;
  Open();
  for (int i = 0; i < 99; ++i) EXPECT_EQ(Get("k" + std::to_string(i))->state, RecordState::kCompleted) << i;
  EXPECT_EQ(Get("k99")->state, RecordState::kUnknown);
}

// The record that was written last is cut, and of what is behind it the room is there.
TEST_F(LogDamageTest, AnInterruptedWriteOverRoomIsAccepted) {
  store_.reset();
  options_.durability = Durability::kSync;
  Open();
  std::string log;
  const auto size = [&log] {
    std::ifstream file(log, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    return bytes.find_last_not_of('\0') + 1;
  };
  for (int i = 0; i < 20; ++i) ClaimAndComplete(ClaimOf("k" + std::to_string(i)));
  std::string copy = Killed(&log);
  const size_t whole = size();
  EXPECT_GT(std::filesystem::file_size(log), whole + 100'000) << "there is room";
  ASSERT_TRUE(MustClaim(ClaimOf("last")).attempt == 1);
  copy = Killed(&log);
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(whole + 60));
  file << std::string(size() - whole - 60, '\0');
  file.close();
  store_.reset();
  options_.directory = copy;
  Open();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Get("k" + std::to_string(i))->state, RecordState::kCompleted) << i;
  EXPECT_FALSE(Get("last"));
}

TEST_F(LogDamageTest, DamageBeforeTheEndIsRefused) {
  store_.reset();
  options_.durability = Durability::kSync;
  platform_.log_room_bytes = 4096;  // so that the middle is not in the room
  Open();
  for (int i = 0; i < 200; ++i) ClaimAndComplete(ClaimOf("k" + std::to_string(i)));
  std::string log;
  const std::string copy = Killed(&log);
  {
    std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(log) / 2));
    file << "damage";
  }
  EXPECT_EQ(StatusOfOpening(copy).code(), StatusCode::kCorruption) << StatusOfOpening(copy).message();
}

}  // namespace
}  // namespace oncegate

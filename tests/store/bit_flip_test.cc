// A bit that the disk gives back wrong, in every kind of file that the store has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "store/damage.h"
#include "store_fixture.h"

namespace oncegate {
namespace {

class BitFlipTest : public StoreFixture {
 protected:
  BitFlipTest() {
    options_.durability = Durability::kSync;
    platform_.log_room_bytes = 2048;  // less than what is written, so that most flips hit that
    Reopen();
    for (int i = 0; i < 30; ++i) Complete("table" + std::to_string(i), 300);
    Complete("large", 40'000);
    Reopen();  // writes the log to tables
    for (int i = 0; i < 12; ++i) Complete("log" + std::to_string(i), 300);
    image_ = std::filesystem::path(root_) / "image";
    CopyOpenStore(image_);  // as a process that is killed leaves it
    store_.reset();
    options_.directory = root_ + "/flipped";
  }

  void Complete(const std::string& key, size_t body_bytes) {
    ClaimRequest claim = ClaimOf(key);
    claim.labels = {{"n", key}};
    claim.request = StoredRequest{"POST", "/", "", Text(body_bytes / 3), true};
    ClaimAndComplete(claim, Answer(Text(body_bytes)));
    expected_[key] = *Get(key);
    order_.push_back(key);
  }
  std::string Text(size_t bytes) {
    std::string text(bytes, '\0');
    for (char& c : text) c = static_cast<char>('a' + random_() % 26);
    return text;
  }

  // The files of the image, by the kind of their names.
  [[nodiscard]] std::vector<std::string> Files(const std::string& part) const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(image_)) {
      const std::string name = entry.path().filename();
      if (name.find(part) != std::string::npos && entry.file_size() > 0) files.push_back(name);
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  // Flips one bit of a fresh copy of the image and looks at what the store makes of it.
  void Flip(const std::string& file, uintmax_t offset, unsigned bit) {
    std::filesystem::remove_all(options_.directory);
    std::filesystem::copy(image_, options_.directory);
    std::fstream bytes(options_.directory + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(bytes.get() ^ (1 << bit));
    bytes.seekp(static_cast<std::streamoff>(offset));
    bytes.put(byte);
    bytes.close();
    Judge(file, file + " at " + std::to_string(offset) + " bit " + std::to_string(bit));
  }

  void Judge(const std::string& file, const std::string& where) {
    Result<std::unique_ptr<Store>> opened = store::OpenRocksDbStoreOn(platform_, options_, clock_, logger_);
    if (!opened.ok()) {
      ++detected_;
      EXPECT_NE(opened.status().message().find(file), std::string::npos) << where << ": " << opened.status().message();
      return;
    }
    store_ = std::move(opened).value();
    for (const std::string& key : order_) {
      Result<std::optional<Record>> found = store_->Get(Key(key), RecordParts::kAll);
      if (!found.ok()) {
        EXPECT_EQ(found.status().code(), StatusCode::kCorruption) << where << ", " << key;
        EXPECT_NE(found.status().message().find(file), std::string::npos) << where << ": " << found.status().message();
        EXPECT_EQ(store_->CheckWritable().code(), StatusCode::kCorruption) << where << ", " << key;
        continue;
      }
      EXPECT_TRUE(*found) << where << ": lost " << key;
      if (*found) {
        EXPECT_EQ(**found, expected_[key]) << where << ": " << key;
      }
    }
    WaitUntilCounted();
    const Status health = store_->CheckWritable();
    ++(health.ok() ? harmless_ : detected_);
    EXPECT_TRUE(health.ok() || health.message().find(file) != std::string::npos) << where << ": " << health.message();
    store_.reset();
  }
  // The index of expiry times has been read then, or the statistics cannot be had.
  void WaitUntilCounted() {
    while (store_->CheckWritable().ok()) {
      Result<StoreStats> stats = store_->Stats();
      if (!stats.ok() || stats->exact) return;
    }
  }

  void FlipAll(const std::string& part, uintmax_t flips_a_file) {
    const std::vector<std::string> files = Files(part);
    ASSERT_FALSE(files.empty()) << part;
    for (const std::string& file : files) {
      const uintmax_t size = std::filesystem::file_size(image_ / file);
      const uintmax_t stride = std::max<uintmax_t>(size / flips_a_file, 1);
      for (uintmax_t offset = random_() % stride; offset < size; offset += stride)
        Flip(file, offset, static_cast<unsigned>(random_() % 8));
    }
    RecordProperty("detected", detected_);
    RecordProperty("harmless", harmless_);
    EXPECT_GT(detected_, 0) << part;
  }

  std::mt19937 random_{11};  // NOLINT(cert-msc51-cpp): the same flips every time
  std::filesystem::path image_;
  std::map<std::string, Record> expected_;
  std::vector<std::string> order_;
  int detected_ = 0;
  int harmless_ = 0;
};

TEST_F(BitFlipTest, InTables) {
  FlipAll(".sst", 8);
}
TEST_F(BitFlipTest, InBlobs) {
  FlipAll(".blob", 20);
}
TEST_F(BitFlipTest, InTheLog) {
  FlipAll(".log", 60);
}

// A reader takes a record that is longer than what is left of the log for one whose write was interrupted; here nothing
// was.
TEST_F(BitFlipTest, InTheLengthsOfTheLog) {
  constexpr uintmax_t kHeaderBytes = 7;
  constexpr uintmax_t kLengthOffset = 4;
  const std::string file = Files(".log").at(0);
  const uintmax_t size = std::filesystem::file_size(image_ / file);
  ASSERT_LT(size, 32U << 10) << "one block of the log, so that records follow each other";
  std::ifstream bytes(image_ / file, std::ios::binary);
  int records = 0;
  for (uintmax_t at = 0; at + kHeaderBytes < size; ++records) {
    bytes.seekg(static_cast<std::streamoff>(at + kLengthOffset));
    const int low = bytes.get();
    const int high = bytes.get();
    if (low == 0 && high == 0) break;  // the room behind the last one
    const auto bit = static_cast<unsigned>(random_() % 16);
    Flip(file, at + kLengthOffset + bit / 8, bit % 8);
    at += kHeaderBytes + static_cast<uintmax_t>(low + 256 * high);
  }
  EXPECT_GE(records, 24);
  EXPECT_EQ(detected_, records);
}
// Without syncs nothing tells it from what a power cut leaves. The replay ends there; what was before is right.
TEST_F(BitFlipTest, InTheLogWithoutSyncs) {
  store_.reset();
  options_.durability = Durability::kAsync;
  options_.directory = root_ + "/async";
  Open();
  for (int i = 0; i < 12; ++i) Complete("async" + std::to_string(i), 300);
  image_ = std::filesystem::path(root_) / "async-image";
  CopyOpenStore(image_);
  store_.reset();
  const std::string file = Files(".log").at(0);
  EXPECT_THAT(store::LogsCutShort(image_), testing::IsEmpty());
  std::fstream bytes(image_ / file, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(image_ / file) / 2);
  bytes.seekg(middle);
  const char byte = static_cast<char>(bytes.get() ^ 1);
  bytes.seekp(middle);
  bytes.put(byte);
  bytes.close();
  EXPECT_THAT(store::LogsCutShort(image_), testing::ElementsAre(file));
  options_.directory = image_;
  Open();
  bool ended = false;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "async" + std::to_string(i);
    const Result<std::optional<Record>> found = store_->Get(Key(key), RecordParts::kAll);
    ASSERT_TRUE(found.ok()) << key;
    ended = ended || !*found || **found != expected_[key];
    EXPECT_EQ(ended, !*found || **found != expected_[key]) << key << ": what comes after what is lost";
  }
  EXPECT_TRUE(ended);
}
TEST_F(BitFlipTest, InTheManifest) {
  FlipAll("MANIFEST", 60);
}

}  // namespace
}  // namespace oncegate

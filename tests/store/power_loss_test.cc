// Power cuts at every sync: what a power cut would leave is put aside at each, opened, and held against a ledger of
// what had been acknowledged by then.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "faulty_disk.h"
#include "store_fixture.h"
#include "store_scan.h"
#include "tests/support/sanitizers.h"

namespace oncegate {
namespace {

// Opening a store takes a sanitizer several times as long, and what a cut leaves is a matter of bytes that the release
// build looks at one by one: a sanitizer looks at every so many-th image.
constexpr size_t kImagesPerLook = kAddressSanitizer || kThreadSanitizer ? 8 : 1;

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What must be known of a key.
struct Entry {
  RecordState state = RecordState::kInProgress;
  ClaimOwner owner = ClaimOwner::kGateway;
  int64_t ttl_ms = 0;
  int64_t expires_at_ms = kNever;
  Token token{};
  std::string request;
  std::string response;
};
using Ledger = std::map<std::string, Entry>;

// What a power cut at some moment left.
struct Image {
  std::string directory;
  FaultyDisk::Keep keep = FaultyDisk::Keep::kSynced;
  size_t cut = 0;  // how many there were before
  bool exists = false;
  size_t acknowledged = 0;  // steps that had returned by then, at least
  size_t begun = 0;         // steps that had been begun by then, at most
  int64_t wall_ms = 0;
};

class PowerLossTest : public StoreFixture {
 protected:
  static constexpr int kKeys = 30;
  static constexpr size_t kLogRoomBytes = 20'000;  // used up now and then, within a sector and amid records

  PowerLossTest() : disk_(root_ + "/scratch") {
    store_.reset();
    options_.durability = Durability::kSync;
    options_.directory = root_ + "/disk";
    options_.memtable_bytes = 256 << 10;  // full now and then
    platform_.env = disk_.env();
    platform_.log_room_bytes = kLogRoomBytes;
    std::filesystem::create_directory(root_ + "/images");
  }
  ~PowerLossTest() override { store_.reset(); }

  // Lets the power be cut at every sync from now on: just before it, which is just after the one before.
  void CutAtEverySync() {
    disk_.OnSync([this] { Cut(); });
  }
  void Cut() {
    const std::lock_guard lock(images_mu_);
    AddImage(FaultyDisk::Keep::kSynced);
    if (++cuts_ % 3 == 0) AddImage(FaultyDisk::Keep::kSomeUnsynced);
  }
  void AddImage(FaultyDisk::Keep keep) {
    Image image{.directory = root_ + "/images/" + std::to_string(images_.size()), .keep = keep, .cut = cuts_};
    image.acknowledged = acknowledged_;
    image.wall_ms = clock_.WallMs();
    image.exists =
        (second_ != nullptr ? *second_ : disk_).Image(options_.directory, image.directory, keep, images_.size());
    image.begun = begun_;
    images_.push_back(std::move(image));
  }

  // -- History. Each step is one change of the store and of the ledger.
  template <typename Call>
  void Step(Call call) {
    ++begun_;
    call();
    history_.push_back(ledger_);
    ++acknowledged_;
  }

  static std::string Body(const std::string& key, size_t size, unsigned salt) {
    std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(key)) + salt);
    std::string body(size, '\0');
    for (char& c : body) c = static_cast<char>(random());
    return body;
  }

  void ClaimKey(const std::string& key) {
    Entry entry;
    entry.owner = random_() % 4 == 0 ? ClaimOwner::kSidecar : ClaimOwner::kGateway;
    entry.ttl_ms = random_() % 3 == 0 ? 10'000 : kDayMs;
    entry.request = Body(key, random_() % 4 == 0 ? 9000 : 100, 1);
    ClaimRequest claim = entry.owner == ClaimOwner::kSidecar ? SidecarClaimOf(key) : ClaimOf(key);
    claim.type = "type" + std::to_string(random_() % 3);
    claim.ttl_ms = entry.ttl_ms;
    claim.labels = {{"key", key}};
    claim.request = StoredRequest{"POST", "/", "", entry.request, true};
    claim.lease_ms = kDayMs;
    if (random_() % 2 == 0) {
      std::vector<StoreCall> calls;
      calls.emplace_back(ClaimCall{claim, Facts()});
      store_->CallTogether(&calls);
      entry.token = std::get<Claimed>(*std::get<ClaimCall>(calls[0]).result).token;
    } else {
      entry.token = MustClaim(claim).token;
    }
    ledger_[key] = entry;
  }
  // Claims some keys that nobody has, and completes some that are claimed, with one write: after a power cut all of it
  // is there or nothing.
  void ManyTogether() {
    std::vector<StoreCall> calls;
    std::set<std::string> keys;
    for (size_t count = 2 + random_() % 8; keys.size() < count;) {
      const std::string key = "k" + std::to_string(random_() % kKeys);
      if (!keys.insert(key).second) continue;
      const auto known = ledger_.find(key);
      if (known == ledger_.end() || known->second.expires_at_ms <= store_->NowMs()) {
        Entry& entry = ledger_[key] = {};
        entry.ttl_ms = kDayMs;
        entry.request = Body(key, random_() % 4 == 0 ? 9000 : 100, 1);
        ClaimRequest claim = ClaimOf(key);
        claim.request = StoredRequest{"POST", "/", "", entry.request, true};
        calls.emplace_back(ClaimCall{claim, Facts()});
      } else if (known->second.state != RecordState::kCompleted) {
        known->second.response = Body(key, random_() % 4 == 0 ? 30'000 : 200, 2);
        calls.emplace_back(CompleteCall{Key(key), known->second.token, Answer(known->second.response)});
      }
    }
    store_->CallTogether(&calls);
    for (const StoreCall& call : calls) {
      if (const auto* claim = std::get_if<ClaimCall>(&call)) {
        ASSERT_TRUE(claim->result.ok()) << claim->result.status().message();
        ledger_[std::string(claim->claim.key.key())].token = std::get<Claimed>(*claim->result).token;
        continue;
      }
      const auto& complete = std::get<CompleteCall>(call);
      EXPECT_TRUE(complete.status.ok()) << complete.status.message();
      Entry& entry = ledger_[std::string(complete.key.key())];
      entry.state = RecordState::kCompleted;
      entry.expires_at_ms = store_->NowMs() + entry.ttl_ms;
    }
  }
  void CompleteKey(const std::string& key) {
    Entry& entry = ledger_[key];
    entry.response = Body(key, random_() % 4 == 0 ? 30'000 : 200, 2);
    std::vector<StoreCall> calls;
    calls.emplace_back(CompleteCall{Key(key), entry.token, Answer(entry.response)});
    if (random_() % 2 == 0)
      store_->CallTogether(&calls);
    else
      std::get<CompleteCall>(calls[0]).status = store_->Complete(Key(key), entry.token, Answer(entry.response));
    const Status& status = std::get<CompleteCall>(calls[0]).status;
    EXPECT_TRUE(status.ok()) << status.message();
    entry.state = RecordState::kCompleted;
    entry.expires_at_ms = store_->NowMs() + entry.ttl_ms;
  }
  void MarkKeyUnknown(const std::string& key) {
    Entry& entry = ledger_[key];
    EXPECT_TRUE(store_->MarkUnknown(Key(key), entry.token).ok());
    entry.state = RecordState::kUnknown;
  }
  void ReleaseKey(const std::string& key) {
    EXPECT_TRUE(store_->Release(Key(key), ledger_[key].token).ok());
    ledger_.erase(key);
  }
  void EraseKey(const std::string& key) {
    EXPECT_TRUE(*store_->Erase(Key(key), true, false));
    ledger_.erase(key);
  }

  void OneOfMany() {
    const std::string key = "k" + std::to_string(random_() % kKeys);
    const auto known = ledger_.find(key);
    if (known == ledger_.end() || known->second.expires_at_ms <= store_->NowMs()) return Step([&] { ClaimKey(key); });
    const RecordState state = known->second.state;
    switch (random_() % 10) {
      case 0:
        return Step([&] { EraseKey(key); });
      case 1:
        if (state != RecordState::kCompleted) Step([&] { ReleaseKey(key); });
        return;
      case 2:
        if (state == RecordState::kInProgress) Step([&] { MarkKeyUnknown(key); });
        return;
      case 3:
        return Step([&] { EXPECT_TRUE(store_->AddReplays({{Key(key), 1}}).ok()); });
      default:
        if (state != RecordState::kCompleted) Step([&] { CompleteKey(key); });
    }
  }

  void LiveThrough(int steps) {
    Step([this] { Open(); });
    for (int i = 1; i <= steps; ++i) {
      OneOfMany();
      if (i % 5 == 0) Step([this] { ManyTogether(); });
      if (i % 10 == 0) clock_.Advance(3000);
      if (i % 67 == 0) Step([this] { EXPECT_TRUE(store_->Cleanup().ok()); });
      if (i % 97 == 0) Step([this] { Reopen(); });
    }
    store_.reset();
    disk_.OnSync({});
  }

  // -- Verdict. What is wrong with what a power cut left, each a sentence. `tail_may_be_lost`: what was acknowledged
  // last may be gone, but only that.
  std::vector<std::string> WrongWith(const Image& image, bool tail_may_be_lost) {
    if (!image.exists) {
      if (image.acknowledged == 0 || tail_may_be_lost) return {};
      return {"the directory is gone"};
    }
    FaultyDisk disk(image.directory + ".scratch");
    RocksDbStoreOptions options = options_;
    options.directory = image.directory;
    ManualClock clock(image.wall_ms);
    Result<std::unique_ptr<Store>> opened =
        store::OpenRocksDbStoreOn({.env = disk.env(), .log_room_bytes = kLogRoomBytes}, options, clock, logger_);
    if (!opened.ok()) return {"it does not open: " + opened.status().message()};
    store_ = std::move(opened).value();
    std::vector<std::string> wrong;
    const Ledger found = ReadLedger(&wrong);
    const int64_t now_ms = store_->NowMs();
    const StoreStats stats = ExactStats();
    store_.reset();
    const StoreScan scan = ScanStore(options, now_ms);
    for (const std::string& damage : scan.damage) wrong.push_back(damage);
    for (const std::string& difference : DifferencesOf(stats, scan)) wrong.push_back(difference);
    const size_t earliest = tail_may_be_lost ? 0 : image.acknowledged;
    std::string differences;
    for (size_t steps = image.begun + 1; steps-- > earliest;) {
      const std::string difference = Difference(LedgerAfter(steps, now_ms), found);
      if (difference.empty()) return wrong;
      if (differences.empty()) differences = difference;
    }
    wrong.push_back("it is as after no step between " + std::to_string(earliest) + " and " +
                    std::to_string(image.begun) + ": " + differences);
    return wrong;
  }

  // All that an image should hold after so many steps, as it is found when it is opened.
  Ledger LedgerAfter(size_t steps, int64_t now_ms) {
    Ledger ledger = steps == 0 ? Ledger() : steps <= history_.size() ? history_[steps - 1] : ledger_;
    std::erase_if(ledger, [&](const auto& entry) { return entry.second.expires_at_ms <= now_ms; });
    for (auto& [key, entry] : ledger) {
      if (entry.state == RecordState::kInProgress && entry.owner == ClaimOwner::kGateway)
        entry.state = RecordState::kUnknown;
    }
    return ledger;
  }

  Ledger ReadLedger(std::vector<std::string>* wrong) {
    Ledger ledger;
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "k" + std::to_string(i);
      Result<std::optional<Record>> record = store_->Get(Key(key), RecordParts::kAll);
      if (!record.ok()) wrong->push_back(key + ": " + record.status().message());
      if (!record.ok() || !*record) continue;
      Entry& entry = ledger[key];
      entry.state = (*record)->state;
      entry.token = (*record)->token;
      entry.expires_at_ms = (*record)->expires_at_ms;
      if ((*record)->request) entry.request = (*record)->request->body;
      if ((*record)->response) entry.response = (*record)->response->body;
    }
    return ledger;
  }

  static std::string Difference(const Ledger& expected, const Ledger& found) {
    for (const auto& [key, entry] : expected) {
      const auto place = found.find(key);
      if (place == found.end()) return key + " is lost";
      if (place->second.state != entry.state) return key + " has another state";
      if (place->second.token != entry.token) return key + " has another token";
      if (place->second.expires_at_ms != entry.expires_at_ms) return key + " expires at another time";
      if (place->second.request != entry.request) return key + " has another request";
      if (entry.state == RecordState::kCompleted && place->second.response != entry.response)
        return key + " has another response";
    }
    for (const auto& [key, entry] : found) {
      if (!expected.contains(key)) return key + " should not be there";
    }
    return {};
  }

  // Every image (see kImagesPerLook), how it is wrong, by its place in the history. Removes them.
  std::vector<std::string> WrongWithAll(bool tail_may_be_lost) {
    std::vector<std::string> wrong;
    for (size_t i = 0; i < images_.size(); i += kImagesPerLook) {
      const Image& image = images_[i];
      for (const std::string& sentence : WrongWith(image, tail_may_be_lost))
        wrong.push_back("cut " + std::to_string(image.cut) + (image.keep == FaultyDisk::Keep::kSynced ? "" : ", torn") +
                        ", after " + std::to_string(image.acknowledged) + " steps: " + sentence);
      std::filesystem::remove_all(image.directory);
      std::filesystem::remove_all(image.directory + ".scratch");
    }
    return wrong;
  }

  FaultyDisk disk_;
  FaultyDisk* second_ = nullptr;  // the one that images are of instead
  std::mt19937 random_{11};       // NOLINT(cert-msc51-cpp): the same history every time
  Ledger ledger_;
  std::vector<Ledger> history_;  // the ledger after each step
  std::atomic<size_t> begun_{0};
  std::atomic<size_t> acknowledged_{0};
  std::mutex images_mu_;
  // Guarded by images_mu_ while the history runs.
  std::vector<Image> images_;
  size_t cuts_ = 0;
};

TEST_F(PowerLossTest, NothingAcknowledgedIsLostUnderSync) {
  CutAtEverySync();
  LiveThrough(70);
  EXPECT_GT(cuts_, 70U);
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/false), IsEmpty());
}

TEST_F(PowerLossTest, OnlyTheTailIsLostUnderAsync) {
  options_.durability = Durability::kAsync;
  CutAtEverySync();
  LiveThrough(70);
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/true), IsEmpty());
}

// The test of the test: with syncs that do nothing it must see the loss.
TEST_F(PowerLossTest, ADiskThatLiesAboutSyncsIsFoundOut) {
  Step([this] { Open(); });
  disk_.set_sync_lies(true);
  CutAtEverySync();
  for (int i = 0; i < 20; ++i) OneOfMany();
  store_.reset();
  disk_.OnSync({});
  const std::vector<std::string> wrong = WrongWithAll(/*tail_may_be_lost=*/false);
  EXPECT_THAT(wrong, Contains(HasSubstr("is lost")));
}

TEST_F(PowerLossTest, WhatIsWrittenTogetherIsThereTogether) {
  CutAtEverySync();
  Step([this] { Open(); });
  for (int i = 0; i < 5; ++i) {
    Step([this] { ManyTogether(); });
    if (i % 3 == 0) clock_.Advance(kDayMs);  // makes room for claims
  }
  store_.reset();
  disk_.OnSync({});
  EXPECT_GT(cuts_, 5U);
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/false), IsEmpty());
}

// Found here: of two logs the older was torn and the younger not, so that a record parted from its index.
TEST_F(PowerLossTest, ATornLogEndsTheHistoryUnderAsync) {
  options_.durability = Durability::kAsync;
  disk_.OnSync([this] {
    const std::lock_guard lock(images_mu_);
    if (begun_ > 20 && images_.size() < 150) AddImage(FaultyDisk::Keep::kSomeUnsynced);
  });
  LiveThrough(60);
  options_.durability = Durability::kSync;  // the next start may be another way
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/true), IsEmpty());
}

// What async may lose, and that the test would see it.
TEST_F(PowerLossTest, AsyncLosesTheTail) {
  options_.durability = Durability::kAsync;
  Step([this] { Open(); });
  for (int i = 0; i < 20; ++i) OneOfMany();
  Cut();
  store_.reset();
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/false), Contains(HasSubstr("is lost")));
}

// The power may fail again while the store recovers.
TEST_F(PowerLossTest, ACutDuringRecoveryLosesNothing) {
  Step([this] { Open(); });
  for (int i = 0; i < 60; ++i) OneOfMany();
  Cut();
  store_.reset();
  const std::string first = images_.front().directory;
  std::filesystem::remove_all(options_.directory);
  std::filesystem::rename(first, options_.directory);
  images_.clear();
  FaultyDisk second(root_ + "/second");
  second.Adopt(options_.directory);
  second_ = &second;
  second.OnSync([this] { Cut(); });
  platform_.env = second.env();
  Open();
  store_.reset();
  EXPECT_GT(cuts_, 10U);
  EXPECT_THAT(WrongWithAll(/*tail_may_be_lost=*/false), IsEmpty());
}

}  // namespace
}  // namespace oncegate

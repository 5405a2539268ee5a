#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "store/platform.h"
#include "store/rocksdb_store.h"

namespace oncegate {

inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr int64_t kDayMs = 24 * kHourMs;
inline constexpr int64_t kStartMs = 1'800'000'000'000;

// A store in a directory of its own, under a clock that only moves by hand.
class StoreFixture : public ::testing::Test {
 protected:
  StoreFixture() {
    std::string name = (std::filesystem::temp_directory_path() / "oncegate-store-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
    options_.directory = root_ + "/data";
    options_.cleanup_interval_ms = 0;
    options_.durability = Durability::kAsync;  // tests of what is on disk after power loss do not live here
    options_.cache_bytes = 8 << 20;
    options_.memtable_bytes = 4 << 20;
    options_.free_space_bytes_min = 0;
    Open();
  }
  ~StoreFixture() override {
    store_.reset();
    std::filesystem::remove_all(root_);
  }

  void Open() {
    Result<std::unique_ptr<Store>> opened = store::OpenRocksDbStoreOn(platform_, options_, clock_, logger_);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    store_ = std::move(opened).value();
  }
  void Reopen() {
    store_.reset();
    Open();
  }

  // The directory as a process that is killed now would leave it. RocksDB may be compacting: a copy is good if nothing
  // has changed while it was made.
  void CopyOpenStore(const std::filesystem::path& copy) const {
    std::map<std::string, uintmax_t> before;
    do {
      before = FilesAndSizes();
      std::filesystem::remove_all(copy);
      std::filesystem::create_directory(copy);
      for (const auto& [name, size] : before) {
        std::error_code gone;
        std::filesystem::copy(std::filesystem::path(options_.directory) / name, copy / name, gone);
      }
    } while (FilesAndSizes() != before);
  }
  [[nodiscard]] std::map<std::string, uintmax_t> FilesAndSizes() const {
    std::map<std::string, uintmax_t> files;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
      std::error_code gone;
      files[entry.path().filename()] = std::filesystem::file_size(entry.path(), gone);
    }
    return files;
  }

  static ScopedKey Key(const std::string& key) { return {"default", key}; }

  static ClaimRequest ClaimOf(const std::string& key) {
    ClaimRequest claim;
    claim.key = Key(key);
    claim.type = "order";
    claim.ttl_ms = kDayMs;
    return claim;
  }
  static ClaimRequest SidecarClaimOf(const std::string& key) {
    ClaimRequest claim = ClaimOf(key);
    claim.owner = ClaimOwner::kSidecar;
    claim.lease_ms = 60'000;
    return claim;
  }
  static StoredResponse Answer(std::string body, uint16_t status = 200) {
    return {.status = status, .head = "HTTP/1.1 200 OK\r\nContent-Type: a\r\n", .body = std::move(body)};
  }
  static RequestFacts Facts(char fingerprint = 'a') {
    return {.fingerprint = MakeFingerprint(FingerprintRecipe::kWholeRequest,
                                           {.method = "POST", .target = "/", .body = {&fingerprint, 1}})};
  }
  static RequestFacts ReleaseFacts() {
    RequestFacts facts = Facts();
    facts.on_unknown = UnknownPolicy::kRelease;
    return facts;
  }

  // Claims, and fails the test if the claim is refused.
  Claimed MustClaim(const ClaimRequest& claim, const RequestFacts& facts = Facts()) {
    Result<ClaimResult> result = store_->Claim(claim, facts);
    EXPECT_TRUE(result.ok()) << result.status().message();
    if (!result.ok()) return {};
    const auto* claimed = std::get_if<Claimed>(&*result);
    EXPECT_NE(claimed, nullptr) << claim.key.key() << " was refused";
    return claimed != nullptr ? *claimed : Claimed{};
  }
  // Claims, and fails the test unless the claim is refused.
  Refused MustRefuse(const ClaimRequest& claim, const RequestFacts& facts = Facts()) {
    Result<ClaimResult> result = store_->Claim(claim, facts);
    EXPECT_TRUE(result.ok()) << result.status().message();
    if (!result.ok()) return {};
    const auto* refused = std::get_if<Refused>(&*result);
    EXPECT_NE(refused, nullptr) << claim.key.key() << " was claimed";
    return refused != nullptr ? *refused : Refused{};
  }
  void MustComplete(const std::string& key, const Claimed& claimed, StoredResponse response = Answer("done")) {
    const Status status = store_->Complete(Key(key), claimed.token, std::move(response));
    EXPECT_TRUE(status.ok()) << key << ": " << status.message();
  }
  void ClaimAndComplete(const ClaimRequest& claim, StoredResponse response = Answer("done")) {
    const Claimed claimed = MustClaim(claim);
    MustComplete(std::string(claim.key.key()), claimed, std::move(response));
  }
  std::optional<Record> Get(const std::string& key, RecordParts parts = RecordParts::kAll) {
    Result<std::optional<Record>> record = store_->Get(Key(key), parts);
    EXPECT_TRUE(record.ok()) << key << ": " << record.status().message();
    return record.ok() ? *record : std::nullopt;
  }
  // Statistics once they are exact.
  StoreStats ExactStats() {
    for (;;) {
      Result<StoreStats> stats = store_->Stats();
      EXPECT_TRUE(stats.ok()) << stats.status().message();
      if (!stats.ok() || stats->exact) return stats.ok() ? *stats : StoreStats{};
    }
  }

  std::string root_;
  RocksDbStoreOptions options_;
  store::Platform platform_;
  ManualClock clock_{kStartMs};
  Logger logger_{LogFormat::kText, LogLevel::kError};
  std::unique_ptr<Store> store_;
};

}  // namespace oncegate

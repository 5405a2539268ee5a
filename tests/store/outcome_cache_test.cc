// Outcomes that are kept in memory: they are those that the store holds, whatever happened to their keys meanwhile.

#include "store/outcome_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

// The cache itself; what it is declared in depends on RocksDB's version.
#include "store/database.h"
#include "store_fixture.h"

namespace oncegate {
namespace {

using store::OutcomeCache;

Record OutcomeOf(const std::string& key, std::string body) {
  Record record;
  record.key = ScopedKey("default", key);
  record.state = RecordState::kCompleted;
  record.type = "order";
  record.response = {.status = 201, .head = "HTTP/1.1 201 Created\r\n", .body = std::move(body)};
  return record;
}

TEST(OutcomeCache, FindsWhatWasPutInUntilItIsForgotten) {
  OutcomeCache cache(rocksdb::NewLRUCache(1 << 20));
  const Record a = OutcomeOf("a", "first");
  const Record b = OutcomeOf("b", "second");
  EXPECT_FALSE(cache.Find(a.key));
  cache.Put(a);
  cache.Put(b);
  EXPECT_EQ(cache.Find(a.key)->record, a);
  EXPECT_EQ(cache.Find(b.key)->record, b);
  EXPECT_FALSE(cache.Find(ScopedKey("other", "a")));
  cache.Put(OutcomeOf("a", "again"));
  EXPECT_EQ(cache.Find(a.key)->record.response->body, "again");
  cache.Forget(a.key);
  EXPECT_FALSE(cache.Find(a.key));
  EXPECT_EQ(cache.Find(b.key)->record, b);
  cache.Clear();
  EXPECT_FALSE(cache.Find(b.key));
  cache.Put(b);
  EXPECT_EQ(cache.Find(b.key)->record, b);
}

TEST(OutcomeCache, TakesNoMoreMemoryThanThereIs) {
  constexpr size_t kBytes = 1 << 20;
  const std::shared_ptr<rocksdb::Cache> memory = rocksdb::NewLRUCache(kBytes);
  OutcomeCache cache(memory);
  size_t usage_max = 0;
  for (int i = 0; i < 10'000; ++i) {
    cache.Put(OutcomeOf(std::to_string(i), std::string(1000, 'x')));
    usage_max = std::max(usage_max, memory->GetUsage());
  }
  EXPECT_LE(usage_max, kBytes);
  EXPECT_GE(memory->GetUsage(), kBytes / 2);
  EXPECT_FALSE(cache.Find(ScopedKey("default", "0"))) << "what was used least lately goes";
  EXPECT_TRUE(cache.Find(ScopedKey("default", "9999")));
}

class CachedOutcomes : public StoreFixture {
 protected:
  static ClaimRequest Redeliverable(const std::string& key) {
    ClaimRequest claim = ClaimOf(key);
    claim.request = StoredRequest{.method = "POST", .target = "/", .fields = {}, .body = "b", .body_kept = true};
    return claim;
  }
  // What a retry would be answered with; empty: nothing.
  std::string Replayed(const std::string& key) {
    const std::optional<Record> record = Get(key, RecordParts::kReplay);
    return record && record->response ? record->response->body : "";
  }
  Redelivery MustRedeliver(const std::string& key) {
    Result<RedeliveryResult> result = store_->Redeliver(Key(key), /*force=*/true, "ada");
    EXPECT_TRUE(result.ok() && std::holds_alternative<Redelivery>(*result));
    return std::get<Redelivery>(*result);
  }
};

TEST_F(CachedOutcomes, AreGivenAsTheyWereReadFirst) {
  ClaimRequest claim = Redeliverable("a");
  claim.labels = {{"order_id", "1"}};
  ClaimAndComplete(claim, Answer("done", 201));
  const auto read = Get("a", RecordParts::kReplay);
  ASSERT_TRUE(read);
  EXPECT_EQ(Get("a", RecordParts::kReplay), read);
  EXPECT_FALSE(read->request);
  EXPECT_TRUE(read->labels.empty());
  EXPECT_TRUE(Get("a", RecordParts::kAll)->request) << "whoever asks for all of it gets all";
}

TEST_F(CachedOutcomes, AreForgottenWithTheirKey) {
  ClaimAndComplete(ClaimOf("a"), Answer("first"));
  EXPECT_EQ(Replayed("a"), "first");
  ASSERT_TRUE(*store_->Erase(Key("a"), false, false));
  EXPECT_EQ(Replayed("a"), "");
  ClaimAndComplete(ClaimOf("a"), Answer("second"));
  EXPECT_EQ(Replayed("a"), "second");
}

TEST_F(CachedOutcomes, AreNotGivenWhileTheyAreRedelivered) {
  ClaimAndComplete(Redeliverable("a"), Answer("first"));
  EXPECT_EQ(Replayed("a"), "first");
  const Redelivery put_back = MustRedeliver("a");
  EXPECT_EQ(Replayed("a"), "");
  ASSERT_TRUE(store_->PutBack(Key("a"), put_back).ok());
  EXPECT_EQ(Replayed("a"), "first");
  const Redelivery redelivery = MustRedeliver("a");
  ASSERT_TRUE(store_->Complete(Key("a"), redelivery.token, Answer("second")).ok());
  EXPECT_EQ(Replayed("a"), "second");
}

TEST_F(CachedOutcomes, EndWhenTheyExpire) {
  ClaimAndComplete(ClaimOf("a"), Answer("first"));
  EXPECT_EQ(Replayed("a"), "first");
  clock_.Advance(kDayMs - 1);
  EXPECT_EQ(Replayed("a"), "first");
  clock_.Advance(1);
  EXPECT_EQ(Replayed("a"), "");
  ClaimAndComplete(ClaimOf("a"), Answer("second"));
  EXPECT_EQ(Replayed("a"), "second");
}

// Readers beside a writer: once a change has returned, nobody reads what was before it.
TEST_F(CachedOutcomes, AreNeverOlderThanWhatWasWritten) {
  constexpr int kChanges = 2000;
  std::atomic<int> written{0};  // an even number: the key was erased; an odd one: it is the outcome's body
  std::atomic<bool> stop{false};
  std::atomic<int> stale{0};
  std::atomic<int> replays{0};
  const auto read = [&] {
    while (!stop) {
      const int before = written;
      const Result<std::optional<Record>> record = store_->Get(Key("a"), RecordParts::kReplay);
      if (!record.ok() || !*record || !(*record)->response) continue;
      ++replays;
      if (std::stoi((*record)->response->body) < before) ++stale;
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(read);
  for (int i = 1; i < kChanges; i += 2) {
    ClaimAndComplete(ClaimOf("a"), Answer(std::to_string(i)));
    written = i;
    while (replays < i) std::this_thread::yield();
    ASSERT_TRUE(*store_->Erase(Key("a"), false, false));
    written = i + 1;
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(stale, 0) << "of " << replays;
}

}  // namespace
}  // namespace oncegate

#include <gtest/gtest.h>

#include <algorithm>

#include "store_fixture.h"

namespace oncegate {
namespace {

class ListingTest : public StoreFixture {
 protected:
  // The keys of all pages, in order.
  std::vector<std::string> Keys(const ListFilter& filter, size_t limit = 1000) {
    std::vector<std::string> keys;
    std::string cursor;
    do {
      Result<RecordPage> page = store_->List(filter, cursor, limit);
      EXPECT_TRUE(page.ok()) << page.status().message();
      if (!page.ok()) return keys;
      EXPECT_LE(page->records.size(), limit);
      for (const Record& record : page->records) keys.emplace_back(record.key.key());
      cursor = page->next_cursor;
    } while (!cursor.empty());
    return keys;
  }

  void Complete(const std::string& key, const std::string& type = "order", Labels labels = {}) {
    clock_.Advance(1);
    ClaimRequest claim = ClaimOf(key);
    claim.type = type;
    claim.labels = std::move(labels);
    ClaimAndComplete(claim);
  }
};

using Strings = std::vector<std::string>;

TEST_F(ListingTest, NewestFirstAndPageByPage) {
  Strings expected;
  for (int i = 0; i < 25; ++i) {
    Complete("k" + std::to_string(i));
    expected.insert(expected.begin(), "k" + std::to_string(i));
  }
  for (const size_t limit : {1U, 7U, 25U, 1000U}) EXPECT_EQ(Keys({}, limit), expected) << "limit " << limit;
}

TEST_F(ListingTest, RecordsOfOneMomentAreAllListed) {
  for (int i = 0; i < 10; ++i) ClaimAndComplete(ClaimOf("k" + std::to_string(i)));
  EXPECT_EQ(Keys({}, 3).size(), 10U);
}

TEST_F(ListingTest, FiltersTakeOutTheRest) {
  Complete("a1", "order");
  Complete("a2", "payment");
  Complete("b1", "order");
  clock_.Advance(1);
  ClaimRequest other = ClaimOf("x");
  other.key = ScopedKey("other", "a9");
  MustClaim(other);
  clock_.Advance(1);
  MustClaim(ClaimOf("a3"));
  clock_.Advance(1);
  const Claimed unknown = MustClaim(ClaimOf("a4"));
  ASSERT_TRUE(store_->MarkUnknown(Key("a4"), unknown.token).ok());
  EXPECT_EQ(Keys({.scope = "other"}), Strings({"a9"}));
  EXPECT_EQ(Keys({.type = "payment"}), Strings({"a2"}));
  EXPECT_EQ(Keys({.type = "nonesuch"}), Strings());
  EXPECT_EQ(Keys({.scope = "default", .prefix = "a"}), Strings({"a4", "a3", "a2", "a1"}));
  EXPECT_EQ(Keys({.state = RecordState::kInProgress}), Strings({"a3", "a9"}));
  EXPECT_EQ(Keys({.state = RecordState::kInProgress}, 1), Strings({"a3", "a9"}));
  EXPECT_EQ(Keys({.state = RecordState::kUnknown}), Strings({"a4"}));
  EXPECT_EQ(Keys({.state = RecordState::kCompleted}), Strings({"b1", "a2", "a1"}));
}

TEST_F(ListingTest, ByLabel) {
  Complete("a", "order", {{"order_id", "1"}, {"customer", "x"}});
  Complete("b", "order", {{"order_id", "2"}, {"customer", "x"}});
  Complete("c", "order", {{"order_id", "1"}});
  EXPECT_EQ(Keys({.label = std::pair("order_id", "1")}, 1), Strings({"c", "a"}));
  EXPECT_EQ(Keys({.label = std::pair("customer", "x")}), Strings({"b", "a"}));
  EXPECT_EQ(Keys({.label = std::pair("customer", "y")}), Strings());
  // A claim with other labels takes the place of the old ones.
  ASSERT_TRUE(*store_->Erase(Key("a"), false, false));
  Complete("a", "order", {{"order_id", "3"}});
  EXPECT_EQ(Keys({.label = std::pair("order_id", "1")}), Strings({"c"}));
}

TEST_F(ListingTest, WhatHasExpiredOrWasForgottenIsNotListed) {
  Complete("old");
  clock_.Advance(kDayMs / 2);
  Complete("new");
  Complete("gone");
  ASSERT_TRUE(*store_->Erase(Key("gone"), false, false));
  EXPECT_EQ(Keys({}), Strings({"new", "old"}));
  clock_.Advance(kDayMs / 2);
  EXPECT_EQ(Keys({}), Strings({"new"}));
  Complete("old");
  EXPECT_EQ(Keys({}), Strings({"old", "new"}));
}

TEST_F(ListingTest, BodiesAreLeftOutAndReplaysCounted) {
  ClaimRequest claim = ClaimOf("a");
  claim.request = StoredRequest{"POST", "/", "A: b\r\n", "body", true};
  ClaimAndComplete(claim);
  ASSERT_TRUE(store_->AddReplays({{Key("a"), 2}}).ok());
  const Record record = store_->List({}, "", 10)->records.at(0);
  EXPECT_EQ(record.request->fields, "A: b\r\n");
  EXPECT_EQ(record.request->body, "");
  EXPECT_EQ(record.response->body, "");
  EXPECT_EQ(record.replays, 2U);
}

TEST_F(ListingTest, GarbageForACursorIsRefused) {
  for (int i = 0; i < 3; ++i) Complete("k" + std::to_string(i));
  const std::string sound = store_->List({}, "", 1)->next_cursor;
  ASSERT_FALSE(sound.empty());
  Strings garbage = {"x", "00", "zz", sound + "00", sound.substr(2), std::string(5000, 'a')};
  for (size_t i = 0; i < sound.size(); ++i) {
    garbage.push_back(sound);
    garbage.back()[i] = sound[i] == '0' ? '1' : '0';
  }
  for (const std::string& cursor : garbage)
    EXPECT_EQ(store_->List({}, cursor, 1).status().code(), StatusCode::kInvalidArgument) << cursor;
  EXPECT_EQ(store_->List({}, "", 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->List({}, "", 1001).status().code(), StatusCode::kInvalidArgument);
}

// The bound on the work for one page: the filter matches only the oldest of many.
TEST_F(ListingTest, ALongSearchGoesOnWithTheNextPage) {
  Complete("needle", "rare");
  clock_.Advance(1);
  for (int i = 0; i < 10'500; ++i) MustClaim(ClaimOf("k" + std::to_string(i)));
  Result<RecordPage> page = store_->List({.type = "rare"}, "", 10);
  ASSERT_TRUE(page.ok());
  EXPECT_TRUE(page->records.empty());
  EXPECT_FALSE(page->next_cursor.empty());
  EXPECT_EQ(Keys({.type = "rare"}), Strings({"needle"}));
  EXPECT_EQ(Keys({.state = RecordState::kInProgress}).size(), 10'500U);
}

}  // namespace
}  // namespace oncegate

#include "core/key.h"

#include <gtest/gtest.h>

#include <vector>

namespace oncegate {
namespace {

constexpr const char* kInvalid = "(invalid)";

std::string KeyOf(std::string_view value) {
  const Result<std::string> key = KeyFromHeaderValue(value);
  return key.ok() ? *key : kInvalid;
}

TEST(KeyFromHeaderValue, TakesRawBytes) {
  struct Case {
    std::string value;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {"evt_1", "evt_1"},
      {"  evt_1\t", "evt_1"},
      {"\"evt_1\"", "evt_1"},
      {" \"evt_1\" ", "evt_1"},
      {"aZ09._:=+/@~-", "aZ09._:=+/@~-"},
      {"", ""},
      {"  ", ""},
      {"\"\"", ""},
      {"a%2Fb", kInvalid},  // '%' is not in the alphabet, and nothing is decoded
      {"a/b", "a/b"},
      {"a b", kInvalid},
      {"a,b", kInvalid},
      {"a;b", kInvalid},
      {"\"a", kInvalid},
      {"a\"", kInvalid},
      {"\"", kInvalid},
      {"\"a\"b\"", kInvalid},
      {"\"a\";p=1", kInvalid},
      {"\"a\\\"b\"", kInvalid},
      {"\" a\"", kInvalid},
      {"'a'", kInvalid},
      {"a\x01", kInvalid},
      {"a\x7f", kInvalid},
      {"caf\xc3\xa9", kInvalid},
      {std::string("a\0b", 3), kInvalid},
      {std::string(255, 'k'), std::string(255, 'k')},
      {std::string(256, 'k'), kInvalid},
      {'"' + std::string(255, 'k') + '"', std::string(255, 'k')},
      {'"' + std::string(256, 'k') + '"', kInvalid},
  };
  for (const Case& c : cases) EXPECT_EQ(KeyOf(c.value), c.expected) << "value: [" << c.value << "]";
}

TEST(KeyFromParts, OnePartIsTheKey) {
  const std::vector<std::string> parts{"evt:1~x"};
  EXPECT_EQ(KeyFromParts(parts), "evt:1~x");
}

TEST(KeyFromParts, SeveralAreJoinedSoThatNoTwoListsCollide) {
  const std::vector<std::vector<std::string>> lists = {{"a", "b"},     {"a:b"},        {"a~1b"},
                                                       {"a:", "b"},    {"a", ":b"},    {"a~", "1b"},
                                                       {"", "a", "b"}, {"a", "", "b"}, {"a~1", "b"}};
  EXPECT_EQ(KeyFromParts(lists[0]), "a:b");
  EXPECT_EQ(KeyFromParts(lists[3]), "a~1:b");
  EXPECT_EQ(KeyFromParts(lists[5]), "a~0:1b");
  for (size_t i = 0; i < lists.size(); ++i) {
    for (size_t j = i + 1; j < lists.size(); ++j) {
      if (lists[i].size() == 1 || lists[j].size() == 1) continue;  // one route always has one number of pointers
      EXPECT_NE(KeyFromParts(lists[i]), KeyFromParts(lists[j])) << i << " and " << j;
    }
  }
}

TEST(KeyFromParts, WhatBreaksTheRulesBecomesADigest) {
  const std::vector<std::string> blank{"a b"};
  const std::vector<std::string> other{"a  b"};
  const std::vector<std::string> two{"a ", "b"};
  const std::vector<std::string> two_others{"a", " b"};
  const std::string key = KeyFromParts(blank);
  EXPECT_EQ(key.size(), 7U + 64U);
  EXPECT_TRUE(key.starts_with("sha256:"));
  EXPECT_TRUE(IsValidKey(key));
  EXPECT_NE(key, KeyFromParts(other));
  EXPECT_NE(KeyFromParts(two), KeyFromParts(two_others));
  const std::vector<std::string> fits{std::string(255, 'k')};
  const std::vector<std::string> too_long{std::string(256, 'k')};
  EXPECT_EQ(KeyFromParts(fits), fits[0]);
  EXPECT_TRUE(KeyFromParts(too_long).starts_with("sha256:"));
}

TEST(IsValidScope, HasItsOwnAlphabet) {
  EXPECT_TRUE(IsValidScope("default"));
  EXPECT_TRUE(IsValidScope("A.b_c-9"));
  EXPECT_TRUE(IsValidScope(std::string(64, 's')));
  for (const std::string& scope : {std::string(), std::string("a b"), std::string("a/b"), std::string("a~b"),
                                   std::string("a:b"), std::string(65, 's')})
    EXPECT_FALSE(IsValidScope(scope)) << scope;
}

TEST(JoinedScope, IsARecordsScopeAndNobodysName) {
  const std::string joined = JoinedScope("default", "Bearer alice\n");
  EXPECT_TRUE(IsRecordScope(joined)) << joined;
  EXPECT_FALSE(IsValidScope(joined)) << joined;
  EXPECT_NE(joined, JoinedScope("default", "Bearer bob\n"));
  EXPECT_TRUE(IsRecordScope("default"));
  for (const std::string& scope : {std::string("default~"), joined + "0", joined.substr(0, joined.size() - 1),
                                   "~" + joined, "default~" + std::string(32, 'g')})
    EXPECT_FALSE(IsRecordScope(scope)) << scope;
}

TEST(ScopedKey, NoTwoPairsShareTheirBytes) {
  EXPECT_NE(ScopedKey("a", "bc").bytes(), ScopedKey("ab", "c").bytes());
  const ScopedKey key("stripe", "evt_1");
  EXPECT_EQ(key.scope(), "stripe");
  EXPECT_EQ(key.key(), "evt_1");
  ScopedKey back;
  ASSERT_TRUE(ScopedKey::FromBytes(key.bytes(), &back));
  EXPECT_EQ(back, key);
  EXPECT_FALSE(ScopedKey::FromBytes("no separator", &back));
  EXPECT_EQ(back, key);
}

}  // namespace
}  // namespace oncegate

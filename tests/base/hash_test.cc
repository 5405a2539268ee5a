#include "base/hash.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace oncegate {
namespace {

std::string Hex(const Sha256Digest& digest) {
  return ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

TEST(Sha256OfParts, IsSha256OfLengthPrefixedParts) {
  // printf '\0\0\0\0\0\0\0\003abc' | sha256sum
  EXPECT_EQ(Hex(Sha256OfParts({"abc"})), "c3494ca1a2cf8eeb8a11ded316fb55b83c3bbbedb6313cd50415251e5d09e12f");
  EXPECT_NE(Sha256OfParts({"ab", "c"}), Sha256OfParts({"a", "bc"}));
  EXPECT_NE(Sha256OfParts({"a"}), Sha256OfParts({"a", ""}));
}

TEST(Hex, RoundTrips) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string back;
  ASSERT_TRUE(FromHex(ToHex(bytes), &back));
  EXPECT_EQ(back, bytes);
  ASSERT_TRUE(FromHex("AbCd", &back));
  EXPECT_EQ(back, "\xab\xcd");
  EXPECT_FALSE(FromHex("abc", &back));
  EXPECT_FALSE(FromHex("zz", &back));
  EXPECT_EQ(back, "\xab\xcd");
}

// Of all sizes, which come from one stock: nothing is given out twice, and every byte changes.
TEST(RandomBytes, NeverRepeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(8 + static_cast<size_t>(i) % 121, '\0');
    RandomBytes(bytes.data(), bytes.size());
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) EXPECT_TRUE(seen.insert(bytes.substr(at, 8)).second) << i;
  }
}

TEST(RandomBytes, ThreadsHaveStocksOfTheirOwn) {
  std::array<std::string, 4> given;
  std::vector<std::thread> threads;
  for (std::string& bytes : given) {
    bytes.resize(16);
    threads.emplace_back([&bytes] { RandomBytes(bytes.data(), bytes.size()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(given.begin(), given.end()).size(), given.size());
}

}  // namespace
}  // namespace oncegate

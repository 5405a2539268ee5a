#include "base/hash.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace oncegate

#include "ingress/rate_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace oncegate {
namespace {

IpAddress Address(const std::string& text) {
  return *IpAddress::Parse(text);
}

TEST(RateLimiter, GivesABurstAndThenOneToken) {
  RateLimiter limiter({.per_second = 10, .burst = 3});
  const IpAddress client = Address("192.0.2.7");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.Take(client, 5000), 0) << i;
  EXPECT_EQ(limiter.Take(client, 5000), 100);
  EXPECT_EQ(limiter.Take(client, 5040), 60) << "a refusal costs nothing";
  EXPECT_EQ(limiter.Take(client, 5100), 0);
  EXPECT_EQ(limiter.Take(client, 5100), 100);
  EXPECT_EQ(limiter.Take(client, 5350), 0) << "two tokens and a half";
  EXPECT_EQ(limiter.Take(client, 5350), 0);
  EXPECT_EQ(limiter.Take(client, 5350), 50);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.Take(client, 60'000), 0) << "never more than the burst: " << i;
  EXPECT_GT(limiter.Take(client, 60'000), 0);
}

TEST(RateLimiter, CountsEachAddressAndEachNetworkOfV6) {
  RateLimiter limiter({.per_second = 1, .burst = 1});
  const struct {
    const char* address;
    bool passes;
  } rows[] = {
      {"192.0.2.7", true},
      {"192.0.2.8", true},
      {"192.0.2.7", false},
      {"::ffff:192.0.2.8", false},
      {"2001:db8:0:1::1", true},
      {"2001:db8:0:1:ffff::2", false},
      {"2001:db8:0:2::1", true},
      {"::1", true},
      {"::1", false},
      {"::192.0.2.9", false},
      {"192.0.2.9", true},
  };
  for (const auto& row : rows) EXPECT_EQ(limiter.Take(Address(row.address), 1000) == 0, row.passes) << row.address;
}

TEST(RateLimiter, MoreClientsThanBucketsForgiveTheOneNearestToFull) {
  RateLimiter limiter({.per_second = 1, .burst = 2});
  const IpAddress flooding = Address("192.0.2.7");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(limiter.Take(flooding, 1000), 0);
  for (size_t i = 0; i < 4 * RateLimiter::kBuckets; ++i) {
    IpAddress::Bytes bytes = {0x20, 0x01, 0x0d, 0xb8};
    for (size_t byte = 4; byte < 8; ++byte) bytes[byte] = static_cast<uint8_t>(i >> (8 * (7 - byte)));
    ASSERT_EQ(limiter.Take(IpAddress(bytes), 1000), 0) << "no stranger is refused for want of room: " << i;
  }
  EXPECT_GT(limiter.Take(flooding, 1000), 0) << "whoever floods is remembered for longer than who asks once";
}

}  // namespace
}  // namespace oncegate

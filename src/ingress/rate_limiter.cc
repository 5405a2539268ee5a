#include "ingress/rate_limiter.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/hash.h"

namespace oncegate {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerMs = 1'000'000;
// No client's IPv6 address begins like this: it is the multicast range.
constexpr uint64_t kV4Mark = 0xffff'0000'0000'0000;

uint64_t ClientId(const IpAddress& address) {
  const size_t from = address.is_v4() ? 12 : 0;
  const size_t count = address.is_v4() ? 4 : 8;
  uint64_t id = 0;
  for (size_t i = from; i < from + count; ++i) id = id << 8 | address.bytes()[i];
  return address.is_v4() ? id | kV4Mark : id;
}

}  // namespace

RateLimiter::RateLimiter(const RateLimit& limit)
    : interval_ns_(kNsPerSecond / limit.per_second),
      tolerance_ns_(interval_ns_ * (limit.burst - 1)),
      shards_(std::make_unique<std::array<Shard, kShards>>()) {}

int64_t RateLimiter::Take(const IpAddress& client, int64_t now_ms) {
  const uint64_t id = ClientId(client);
  // Seeded, so that nobody can choose addresses that share a set with another's.
  const uint64_t hash = ShardHash({reinterpret_cast<const char*>(&id), sizeof id});
  Shard& shard = (*shards_)[hash % kShards];
  const int64_t now_ns = now_ms * kNsPerMs;
  const std::lock_guard lock(shard.mutex);
  auto& set = shard.sets[hash / kShards % kSetsAShard];
  auto bucket = std::find_if(set.begin(), set.end(), [id](const Bucket& b) { return b.client == id; });
  if (bucket == set.end()) {
    bucket = std::min_element(set.begin(), set.end(),
                              [](const Bucket& a, const Bucket& b) { return a.full_at_ns < b.full_at_ns; });
    *bucket = {id, now_ns};
  }
  const int64_t full_at_ns = std::max(bucket->full_at_ns, now_ns);
  const int64_t missing_ns = full_at_ns - now_ns - tolerance_ns_;
  if (missing_ns > 0) return (missing_ns + kNsPerMs - 1) / kNsPerMs;
  bucket->full_at_ns = full_at_ns + interval_ns_;
  return 0;
}

}  // namespace oncegate

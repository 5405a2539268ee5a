#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "ingress/client_address.h"

namespace oncegate {

struct RateLimit {
  int64_t per_second = 0;  // 0: no limit
  int64_t burst = 0;       // requests that may come at once; at least 1 where there is a limit
};

// A token bucket for each client: an IPv4 address, or the /64 of an IPv6 one, which is what one client has at least.
// Remembers kBuckets clients in all, in memory that is taken at the start; when they are all busy, the one that is
// nearest to a full bucket gives way, and is forgiven. Thread-safe; a call holds one of kShards locks for a moment.
class RateLimiter {
 public:
  static constexpr size_t kShards = 64;
  static constexpr size_t kSetsAShard = 128;
  static constexpr size_t kWays = 8;
  static constexpr size_t kBuckets = kShards * kSetsAShard * kWays;

  // REQUIRES: limit.per_second > 0 and limit.burst > 0.
  explicit RateLimiter(const RateLimit& limit);

  // Takes a token: 0 if there was one, otherwise the milliseconds until there will be. `now_ms` of a steady clock.
  int64_t Take(const IpAddress& client, int64_t now_ms);

 private:
  // A bucket as the moment at which it is full again; one that is full need not be remembered.
  struct Bucket {
    uint64_t client = 0;
    int64_t full_at_ns = 0;
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    std::array<std::array<Bucket, kWays>, kSetsAShard> sets;  // guarded by mutex
  };

  const int64_t interval_ns_;   // between two tokens
  const int64_t tolerance_ns_;  // how far behind being full a bucket with one token left is
  const std::unique_ptr<std::array<Shard, kShards>> shards_;
};

}  // namespace oncegate

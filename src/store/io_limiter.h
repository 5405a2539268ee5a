#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace rocksdb {
class RateLimiter;
}

namespace oncegate::store {

// What an IoLimiter knows of time, so that tests can turn it.
struct IoLimiterTime {
  std::function<int64_t()> now_us;           // steady
  std::function<void(int64_t us)> sleep_us;  // at least that long, on the calling thread
};
IoLimiterTime MachineTime();

// Holds what RocksDB's background threads read and write to a rate. RocksDB's own limiter cannot be used: in Debian 12
// it may leave a thread waiting for one that has gone (its issue 11742, fixed in 2023), and with a flush all writes,
// for ever. This one keeps no queue and wakes nobody: each request is given the next free stretch of time and sleeps
// until it begins.
//
// Flushes never sleep, because writes may be waiting for them; what they write is taken from what others may. Nobody
// sleeps longer than a second. Thread-safe.
std::shared_ptr<rocksdb::RateLimiter> NewIoLimiter(int64_t bytes_per_second, IoLimiterTime time = MachineTime());

}  // namespace oncegate::store

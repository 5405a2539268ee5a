#include "store/io_limiter.h"

#include <rocksdb/rate_limiter.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

namespace oncegate::store {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
// What was not used for so long is lost, and so much may be written at once.
constexpr int64_t kBurstUs = 10'000;
constexpr int64_t kSleepUsMax = kMicrosPerSecond;

class IoLimiter final : public rocksdb::RateLimiter {
 public:
  IoLimiter(int64_t bytes_per_second, IoLimiterTime time)
      : RateLimiter(Mode::kAllIo), time_(std::move(time)), bytes_per_second_(bytes_per_second) {}

  void SetBytesPerSecond(int64_t bytes_per_second) override { bytes_per_second_ = bytes_per_second; }
  [[nodiscard]] int64_t GetBytesPerSecond() const override { return bytes_per_second_; }
  [[nodiscard]] int64_t GetSingleBurstBytes() const override {
    return std::max<int64_t>(bytes_per_second_ * kBurstUs / kMicrosPerSecond, 1);
  }

  using RateLimiter::Request;
  void Request(int64_t bytes, rocksdb::Env::IOPriority priority, rocksdb::Statistics* /*statistics*/) override {
    bytes_[priority] += bytes;
    ++requests_[priority];
    const int64_t sleep_us = Reserve(bytes);
    if (sleep_us > 0 && priority != rocksdb::Env::IO_HIGH) time_.sleep_us(sleep_us);
  }

  [[nodiscard]] int64_t GetTotalBytesThrough(rocksdb::Env::IOPriority priority) const override {
    return SumOf(bytes_, priority);
  }
  [[nodiscard]] int64_t GetTotalRequests(rocksdb::Env::IOPriority priority) const override {
    return SumOf(requests_, priority);
  }

 private:
  using Counters = std::array<std::atomic<int64_t>, rocksdb::Env::IO_TOTAL>;

  static int64_t SumOf(const Counters& counters, rocksdb::Env::IOPriority priority) {
    if (priority != rocksdb::Env::IO_TOTAL) return counters[priority];
    return std::accumulate(counters.begin(), counters.end(), int64_t{0});
  }

  // Takes the next stretch of time; how long until it begins.
  int64_t Reserve(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const int64_t now_us = time_.now_us();
    const int64_t begins_us = std::clamp(free_from_us_, now_us - kBurstUs, now_us + kSleepUsMax);
    free_from_us_ = begins_us + bytes * kMicrosPerSecond / bytes_per_second_;
    return begins_us - now_us;
  }

  const IoLimiterTime time_;
  std::atomic<int64_t> bytes_per_second_;
  Counters bytes_{};
  Counters requests_{};
  std::mutex mutex_;
  int64_t free_from_us_ = 0;  // guarded by mutex_
};

}  // namespace

IoLimiterTime MachineTime() {
  using std::chrono::microseconds;
  using std::chrono::steady_clock;
  return {
      .now_us = [] { return std::chrono::duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count(); },
      .sleep_us = [](int64_t us) { std::this_thread::sleep_for(microseconds(us)); }};
}

std::shared_ptr<rocksdb::RateLimiter> NewIoLimiter(int64_t bytes_per_second, IoLimiterTime time) {
  return std::make_shared<IoLimiter>(bytes_per_second, std::move(time));
}

}  // namespace oncegate::store

#include "base/clock.h"

#include <ctime>

namespace oncegate {
namespace {

int64_t ReadUs(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

int64_t SystemClock::WallMs() const {
  return ReadUs(CLOCK_REALTIME) / 1000;
}
int64_t SystemClock::SteadyMs() const {
  return ReadUs(CLOCK_BOOTTIME) / 1000;
}
int64_t SystemClock::SteadyUs() const {
  return ReadUs(CLOCK_BOOTTIME);
}

}  // namespace oncegate

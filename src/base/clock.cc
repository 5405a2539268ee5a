#include "base/clock.h"

#include <ctime>

namespace oncegate {
namespace {

int64_t ReadMs(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

int64_t SystemClock::WallMs() const {
  return ReadMs(CLOCK_REALTIME);
}
int64_t SystemClock::SteadyMs() const {
  return ReadMs(CLOCK_BOOTTIME);
}

}  // namespace oncegate

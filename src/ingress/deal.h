#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace oncegate {

// How many connections a loop has before the next one gets any. Threads that have little to do cost more in waking each
// other than they add: measured on two cores, 32 to 64 busy connections are answered a fifth faster by one loop than by
// two, and each answer costs a sixth less CPU (docs/decisions.md).
inline constexpr size_t kConnectionsPerLoop = 64;

// The loop that gets a new connection, of those that have so many open: the one with the fewest, among as many loops as
// all connections together need. REQUIRES: there is a loop.
inline size_t ChooseLoop(const std::vector<size_t>& open) {
  size_t all = 0;
  for (const size_t of_loop : open) all += of_loop;
  const size_t needed = std::min(open.size(), 1 + all / kConnectionsPerLoop);
  const auto end = open.begin() + static_cast<std::ptrdiff_t>(needed);
  return static_cast<size_t>(std::min_element(open.begin(), end) - open.begin());
}

}  // namespace oncegate

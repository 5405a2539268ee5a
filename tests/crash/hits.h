#pragma once

#include <algorithm>

namespace oncegate {

// A kill may miss its aim by a moment: a run goes on, up to so many times as long, until every step was hit.
constexpr int kLivesMaxFactor = 4;

// How often each step has to be hit in a run of so many kills: every one a few times over.
inline int HitsMin(int kills) {
  constexpr int kHitsMin = 2;
  constexpr int kKillsPerHit = 10;
  return std::max(kHitsMin, kills / kKillsPerHit);
}

}  // namespace oncegate

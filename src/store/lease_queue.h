#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/key.h"

namespace oncegate::store {

// The keys of claims that live by a lease, by when it ends. One entry a claim in progress. Thread-safe.
class LeaseQueue {
 public:
  void Set(const ScopedKey& key, int64_t until_ms);
  void Remove(const ScopedKey& key);
  // Takes out those that have ended, `count_max` at most.
  std::vector<ScopedKey> TakeEnded(int64_t now_ms, size_t count_max);

 private:
  std::mutex mu_;
  std::set<std::pair<int64_t, std::string>> by_end_;  // guarded by mu_
  std::unordered_map<std::string, int64_t> ends_;     // guarded by mu_
};

}  // namespace oncegate::store

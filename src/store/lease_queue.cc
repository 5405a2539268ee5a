#include "store/lease_queue.h"

namespace oncegate::store {

void LeaseQueue::Set(const ScopedKey& key, int64_t until_ms) {
  const std::lock_guard lock(mu_);
  const auto [position, inserted] = ends_.try_emplace(key.bytes(), until_ms);
  if (!inserted) by_end_.erase({position->second, key.bytes()});
  position->second = until_ms;
  by_end_.emplace(until_ms, key.bytes());
}

void LeaseQueue::Remove(const ScopedKey& key) {
  const std::lock_guard lock(mu_);
  const auto position = ends_.find(key.bytes());
  if (position == ends_.end()) return;
  by_end_.erase({position->second, key.bytes()});
  ends_.erase(position);
}

std::vector<ScopedKey> LeaseQueue::TakeEnded(int64_t now_ms, size_t count_max) {
  const std::lock_guard lock(mu_);
  std::vector<ScopedKey> keys;
  while (keys.size() < count_max && !by_end_.empty() && by_end_.begin()->first <= now_ms) {
    const auto first = by_end_.begin();
    ScopedKey key;
    if (ScopedKey::FromBytes(first->second, &key)) keys.push_back(std::move(key));
    ends_.erase(first->second);
    by_end_.erase(first);
  }
  return keys;
}

}  // namespace oncegate::store

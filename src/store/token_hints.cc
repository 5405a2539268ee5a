#include "store/token_hints.h"

#include <cstdint>
#include <cstring>

namespace oncegate::store {

size_t TokenHints::SlotOf(const Token& token) {
  uint64_t part = 0;
  std::memcpy(&part, token.data(), sizeof part);
  return part % kSlots;
}

void TokenHints::Note(const Token& token, const ScopedKey& key) {
  const size_t slot = SlotOf(token);
  const std::lock_guard lock(StripeOf(slot));
  slots_[slot] = {token, key};
}

std::optional<ScopedKey> TokenHints::Find(const Token& token) const {
  const size_t slot = SlotOf(token);
  const std::lock_guard lock(StripeOf(slot));
  const Slot& noted = slots_[slot];
  if (noted.token != token || noted.key.key().empty()) return std::nullopt;
  return noted.key;
}

}  // namespace oncegate::store

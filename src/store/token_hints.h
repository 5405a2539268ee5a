#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

#include "core/record.h"

namespace oncegate::store {

// Under which keys tokens were handed out lately, so that who shows one need not look it up in the index. What is said
// here may be over: the record has the last word. Of fixed size; one token displaces another. Thread-safe.
class TokenHints {
 public:
  static constexpr size_t kSlots = 8192;

  void Note(const Token& token, const ScopedKey& key);
  [[nodiscard]] std::optional<ScopedKey> Find(const Token& token) const;

 private:
  struct Slot {
    Token token{};
    ScopedKey key;  // empty: nothing was noted
  };
  static constexpr size_t kStripes = 64;

  // Tokens are random, and so is any part of one.
  static size_t SlotOf(const Token& token);
  std::mutex& StripeOf(size_t slot) const { return stripes_[slot % kStripes]; }

  mutable std::array<std::mutex, kStripes> stripes_;
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);  // each guarded by its stripe
};

}  // namespace oncegate::store

#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "store/codec.h"

// For the .cc files of this folder only.
namespace oncegate::store {

// Claims that this process has written and not ended, as they stand on disk: who completes one need not read it.
// Fixed in size: one displaces another, and large ones are left out. Thread-safe.
//
// What it holds is what the store holds: a claim is put in by whoever has written it, and taken out before anything
// else is written for its key (AppendTransition), both under the lock of the key's shard.
class OpenClaims {
 public:
  static constexpr size_t kSlots = 1024;
  static constexpr size_t kRecordBytesMax = 8 << 10;  // of its texts

  // REQUIRES: the lock of the key's shard.
  void Put(StoredRecord claimed);
  // Takes it out. Nothing: it has to be read. REQUIRES: the lock of the key's shard.
  std::optional<StoredRecord> Take(const ScopedKey& key, const Token& token);
  // Forgets what has this token. REQUIRES: the lock of the key's shard.
  void Forget(const Token& token);
  void Clear();

 private:
  static constexpr size_t kStripes = 64;

  // Tokens are random, and so is any part of one.
  static size_t SlotOf(const Token& token);
  std::mutex& StripeOf(size_t slot) { return stripes_[slot % kStripes]; }

  std::array<std::mutex, kStripes> stripes_;
  std::vector<std::unique_ptr<StoredRecord>> slots_{kSlots};  // each guarded by its stripe
};

}  // namespace oncegate::store

#include "store/open_claims.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace oncegate::store {
namespace {

size_t TextBytes(const Record& record) {
  size_t bytes = record.claim_id.size() + record.history.size() * sizeof(HistoryEntry);
  for (const auto& [name, value] : record.labels) bytes += name.size() + value.size();
  if (record.request)
    bytes += record.request->target.size() + record.request->fields.size() + record.request->body.size();
  if (record.response) bytes += record.response->head.size() + record.response->body.size();
  return bytes;
}

}  // namespace

size_t OpenClaims::SlotOf(const Token& token) {
  uint64_t part = 0;
  std::memcpy(&part, token.data(), sizeof part);
  return part % kSlots;
}

void OpenClaims::Put(StoredRecord claimed) {
  if (TextBytes(claimed.record) > kRecordBytesMax) return;
  const size_t slot = SlotOf(claimed.record.token);
  auto kept = std::make_unique<StoredRecord>(std::move(claimed));
  const std::lock_guard lock(StripeOf(slot));
  slots_[slot].swap(kept);
}

std::optional<StoredRecord> OpenClaims::Take(const ScopedKey& key, const Token& token) {
  const size_t slot = SlotOf(token);
  std::unique_ptr<StoredRecord> taken;
  {
    const std::lock_guard lock(StripeOf(slot));
    const std::unique_ptr<StoredRecord>& kept = slots_[slot];
    if (!kept || kept->record.token != token || kept->record.key != key) return std::nullopt;
    taken.swap(slots_[slot]);
  }
  return std::move(*taken);
}

void OpenClaims::Forget(const Token& token) {
  const size_t slot = SlotOf(token);
  const std::lock_guard lock(StripeOf(slot));
  if (slots_[slot] && slots_[slot]->record.token == token) slots_[slot].reset();
}

void OpenClaims::Clear() {
  for (size_t slot = 0; slot < kSlots; ++slot) {
    const std::lock_guard lock(StripeOf(slot));
    slots_[slot].reset();
  }
}

}  // namespace oncegate::store

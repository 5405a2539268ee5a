#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/record.h"
#include "store/codec.h"
#include "store/record_counts.h"

// The keys of the store's indexes, and the values of those that have one (docs/record-format.md).
namespace oncegate::store {

// expiry := expires_at:u64 type_id:u32 scoped_key; its value is the record's state:u8
struct ExpiryEntry {
  int64_t expires_at_ms = 0;
  uint32_t type_id = 0;
};
std::string ExpiryKey(int64_t expires_at_ms, uint32_t type_id, const ScopedKey& key);
bool ParseExpiryKey(std::string_view bytes, ExpiryEntry* entry);
// What an entry of `expiry` counts as in the statistics; false if it cannot be read.
bool CountKeyOfEntry(std::string_view key, std::string_view value, CountKey* count);

// The least key of `expiry` and of `bodies` with this time; what is below it ended before.
std::string TimeBound(int64_t ms);

// created := created_at:u64 scoped_key. Also the form of a place in a listing, whatever index that is read from.
struct CreatedEntry {
  int64_t created_at_ms = 0;
  ScopedKey key;
};
std::string CreatedKey(int64_t created_at_ms, const ScopedKey& key);
bool ParseCreatedKey(std::string_view bytes, CreatedEntry* entry);

// labels := label:16 created, where label is the front of the SHA-256 of name and value: of one size however long they
// are, and no two pairs share it.
std::string LabelPrefix(std::string_view name, std::string_view value);
// The same for the token of a sidecar claim: the label without a name, which no record's own has.
std::string TokenPrefix(const Token& token);

// bodies := until:u64 id:16 part:u8
std::string BodyKey(int64_t until_ms, const RecordId& id, BodyPart part);

// replays := scoped_key id:16; replays_value := version:u8 expires_at:u64 count:u64 [first_at:u64 last_at:u64]
std::string ReplaysKey(const ScopedKey& key, const RecordId& id);
std::string EncodeReplays(const Record& record);
// Fills the record's count and times of replays; values of earlier programs have no times.
bool DecodeReplays(std::string_view value, Record* record);

// What `open`, `created` and `labels` say of a record, so that a listing need not read those that it leaves out:
//   summary := version:u8 expires_at:u64 created_at:u64 type_id:u32 state:u8 owner:u8
struct Summary {
  int64_t expires_at_ms = kNever;
  int64_t created_at_ms = 0;
  uint32_t type_id = 0;
  RecordState state = RecordState::kInProgress;
  ClaimOwner owner = ClaimOwner::kGateway;
};
std::string EncodeSummary(const Summary& summary);
bool DecodeSummary(std::string_view value, Summary* summary);

// When an entry expires, read from its value (summaries, replays) or from its key (expiry, bodies). False if it cannot
// be read.
bool ExpiresAtOfValue(std::string_view key, std::string_view value, int64_t* expires_at_ms) noexcept;
bool ExpiresAtOfTimeKey(std::string_view key, std::string_view value, int64_t* expires_at_ms) noexcept;

}  // namespace oncegate::store

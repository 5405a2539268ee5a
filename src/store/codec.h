#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/record.h"
#include "store/store.h"

namespace oncegate::store {

// The version that every value of the store begins with. A program refuses values of a later one.
inline constexpr uint8_t kValueVersion = 1;
// That of records which bear a history, which version 1 does not know. A directory that holds one has format 2.
inline constexpr uint8_t kRecordVersion = 2;

// Bodies above these sizes are kept apart from their record, so that the record stays small enough to be cached and
// rewritten. A request's body is only needed for redelivery; a response's is read on every replay.
inline constexpr size_t kInlineRequestBytesMax = 4096;
inline constexpr size_t kInlineResponseBytesMax = 16384;

// Part of the keys of `bodies`: never renumber.
enum class BodyPart : uint8_t { kRequest = 1, kResponse = 2 };

// Where a body is that is not in its record.
struct BodyRef {
  bool apart = false;
  int64_t until_ms = 0;  // the time in its key, after which it may be dropped
  uint32_t size = 0;
  uint32_t checksum = 0;  // CRC-32C of the body

  friend bool operator==(const BodyRef&, const BodyRef&) = default;
};

// A record as it is stored: what the contract shows and where the store put it. The bodies of those kept apart are
// empty in `record` until they have been read.
struct StoredRecord {
  Record record;
  uint32_t type_id = 0;
  BodyRef request_body;
  BodyRef response_body;

  friend bool operator==(const StoredRecord&, const StoredRecord&) = default;
};

// The value of a record in the family `records`. Leaves out `replays`, which is counted elsewhere, and bodies kept
// apart.
std::string EncodeRecord(const StoredRecord& stored);

// The inverse, for the value found under `key`. Corruption unless every byte of key and value is as it was encoded;
// also for a version later than kRecordVersion, which the message then names. With kReplay labels and request are left
// out.
Status DecodeRecord(const ScopedKey& key, std::string_view value, RecordParts parts, StoredRecord* stored);

// When the record with this value expires; false if the value is not that of a sound record. For the compaction filter:
// allocates nothing.
bool ExpiresAtOfRecord(std::string_view key, std::string_view value, int64_t* expires_at_ms) noexcept;

// A body's place for a body that is to be kept apart until then.
BodyRef PlaceApart(std::string_view body, int64_t until_ms);

}  // namespace oncegate::store

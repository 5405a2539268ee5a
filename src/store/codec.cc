#include "store/codec.h"

#include "store/bytes.h"
#include "store/crc32c.h"

// The value of a record (docs/record-format.md); version 2 if it has a history, else 1. Numbers are big-endian.
//
//   record      := version:u8 expires_at:u64 checksum:u32 fixed [fingerprint] type:string source_ip:string
//                  [response] labels [claim_id:string] [request] [history]
//   checksum    := CRC-32C of the key (scope, NUL, key), then of the value less these four bytes
//   fixed       := state:u8 owner:u8 flags:u16 type_id:u32 attempt:u32 id:16 token:16
//                  created_at:u64 completed_at:u64 ttl:u64 lease_expires_at:u64
//   fingerprint := recipe:u8 digest:32                                if flags has kHasFingerprint
//   response    := status:u16 head:string body                        if flags has kHasResponse
//   labels      := count:varint { name:string value:string }
//   claim_id                                                          if flags has kHasClaimId
//   request     := method:string target:string fields:string body    if flags has kHasRequest
//   history     := count:varint { at:u64 action:u8 by:string detail:string }   if flags has kHasHistory
//   body        := string | until:u64 size:u32 checksum:u32           the latter if flags says that it is apart
//   string      := length:varint bytes
//
// What a replay needs stands in front, so that reading can end there. expires_at is at the same place in every value of
// the store that has one, so that one filter serves all.

namespace oncegate::store {
namespace {

constexpr size_t kChecksumOffset = 1 + 8;
constexpr size_t kChecksumEnd = kChecksumOffset + 4;

// Stored: never renumber.
enum Flag : uint16_t {
  kHoldUnknown = 1 << 0,
  kRerunOnLeaseExpiry = 1 << 1,
  kHasFingerprint = 1 << 2,
  kHasResponse = 1 << 3,
  kResponseBodyKept = 1 << 4,
  kResponseBodyApart = 1 << 5,
  kHasRequest = 1 << 6,
  kRequestBodyKept = 1 << 7,
  kRequestBodyApart = 1 << 8,
  kHasClaimId = 1 << 9,
  kHasHistory = 1 << 10,  // version 2
};
constexpr unsigned kFlagsKnown = (1U << 11) - 1;

uint16_t FlagsOf(const StoredRecord& stored) {
  const Record& record = stored.record;
  unsigned flags = 0;
  const auto set = [&flags](Flag flag, bool on) {
    if (on) flags |= flag;
  };
  set(kHoldUnknown, record.hold_unknown);
  set(kRerunOnLeaseExpiry, record.on_lease_expiry == LeaseExpiry::kRerun);
  set(kHasFingerprint, record.fingerprint.has_value());
  set(kHasResponse, record.response.has_value());
  set(kResponseBodyKept, record.response && record.response->body_kept);
  set(kResponseBodyApart, record.response && stored.response_body.apart);
  set(kHasRequest, record.request.has_value());
  set(kRequestBodyKept, record.request && record.request->body_kept);
  set(kRequestBodyApart, record.request && stored.request_body.apart);
  set(kHasClaimId, !record.claim_id.empty());
  set(kHasHistory, !record.history.empty());
  return static_cast<uint16_t>(flags);
}

uint32_t Checksum(std::string_view key, std::string_view value) noexcept {
  const uint32_t head = Crc32c(value.substr(0, kChecksumOffset), Crc32c(key));
  return Crc32c(value.substr(kChecksumEnd), head);
}

void PutBody(std::string* out, const std::string& body, const BodyRef& ref) {
  if (!ref.apart) {
    PutString(out, body);
    return;
  }
  PutTime(out, ref.until_ms);
  PutBig(out, ref.size);
  PutBig(out, ref.checksum);
}

void ReadBody(Reader* reader, bool apart, std::string* body, BodyRef* ref) {
  if (!apart) {
    *body = reader->String();
    return;
  }
  ref->apart = true;
  ref->until_ms = reader->Time();
  ref->size = reader->Big<uint32_t>();
  ref->checksum = reader->Big<uint32_t>();
}

void PutFixed(std::string* out, const StoredRecord& stored) {
  const Record& record = stored.record;
  PutBig(out, static_cast<uint8_t>(record.state));
  PutBig(out, static_cast<uint8_t>(record.owner));
  PutBig(out, FlagsOf(stored));
  PutBig(out, stored.type_id);
  PutBig(out, record.attempt);
  PutArray(out, record.id);
  PutArray(out, record.token);
  PutTime(out, record.created_at_ms);
  PutTime(out, record.completed_at_ms);
  PutTime(out, record.ttl_ms);
  PutTime(out, record.lease_expires_at_ms);
}

// False if a number stands for nothing that this version knows.
bool ReadFixed(Reader* reader, StoredRecord* stored, unsigned* flags) {
  Record& record = stored->record;
  const auto state = reader->Big<uint8_t>();
  const auto owner = reader->Big<uint8_t>();
  *flags = reader->Big<uint16_t>();
  if (state < 1 || state > 3 || owner < 1 || owner > 2 || (*flags & ~kFlagsKnown) != 0) return false;
  record.state = static_cast<RecordState>(state);
  record.owner = static_cast<ClaimOwner>(owner);
  record.hold_unknown = (*flags & kHoldUnknown) != 0;
  record.on_lease_expiry = (*flags & kRerunOnLeaseExpiry) != 0 ? LeaseExpiry::kRerun : LeaseExpiry::kHold;
  stored->type_id = reader->Big<uint32_t>();
  record.attempt = reader->Big<uint32_t>();
  record.id = reader->Array<16>();
  record.token = reader->Array<16>();
  record.created_at_ms = reader->Time();
  record.completed_at_ms = reader->Time();
  record.ttl_ms = reader->Time();
  record.lease_expires_at_ms = reader->Time();
  if ((*flags & kHasFingerprint) == 0) return true;
  const auto recipe = reader->Big<uint8_t>();
  if (recipe > static_cast<uint8_t>(FingerprintRecipe::kWithoutBody)) return false;
  record.fingerprint = Fingerprint{static_cast<FingerprintRecipe>(recipe), reader->Array<32>()};
  return true;
}

void ReadResponse(Reader* reader, unsigned flags, StoredRecord* stored) {
  StoredResponse& response = stored->record.response.emplace();
  response.status = reader->Big<uint16_t>();
  response.head = reader->String();
  response.body_kept = (flags & kResponseBodyKept) != 0;
  ReadBody(reader, (flags & kResponseBodyApart) != 0, &response.body, &stored->response_body);
}

void ReadLabels(Reader* reader, Labels* labels) {
  const uint64_t count = reader->Varint();
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    const std::string_view name = reader->String();
    labels->emplace_back(name, reader->String());
  }
}

void ReadRequest(Reader* reader, unsigned flags, StoredRecord* stored) {
  StoredRequest& request = stored->record.request.emplace();
  request.method = reader->String();
  request.target = reader->String();
  request.fields = reader->String();
  request.body_kept = (flags & kRequestBodyKept) != 0;
  ReadBody(reader, (flags & kRequestBodyApart) != 0, &request.body, &stored->request_body);
}

// False if an entry is of an unknown kind.
bool ReadHistory(Reader* reader, std::vector<HistoryEntry>* history) {
  const uint64_t count = reader->Varint();
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    HistoryEntry& entry = history->emplace_back();
    entry.at_ms = reader->Time();
    const auto action = reader->Big<uint8_t>();
    if (reader->ok() && (action < 1 || action > static_cast<uint8_t>(HistoryAction::kRedelivered))) return false;
    entry.action = static_cast<HistoryAction>(action);
    entry.by = reader->String();
    entry.detail = reader->String();
  }
  return true;
}

// The size of a value without its variable parts, rounded up.
constexpr size_t kFixedBytesMax = 192;

size_t EstimateSize(const StoredRecord& stored) {
  const Record& record = stored.record;
  size_t size = kFixedBytesMax + record.type.size() + record.source_ip.size() + record.claim_id.size();
  for (const auto& [name, value] : record.labels) size += name.size() + value.size() + 4;
  for (const HistoryEntry& entry : record.history) size += entry.by.size() + entry.detail.size() + 13;
  if (record.response) size += record.response->head.size() + 32;
  if (record.response && !stored.response_body.apart) size += record.response->body.size();
  if (record.request) size += record.request->target.size() + record.request->fields.size() + 48;
  if (record.request && !stored.request_body.apart) size += record.request->body.size();
  return size;
}

}  // namespace

std::string EncodeRecord(const StoredRecord& stored) {
  const Record& record = stored.record;
  std::string out;
  out.reserve(EstimateSize(stored));
  PutBig(&out, record.history.empty() ? kValueVersion : kRecordVersion);
  PutTime(&out, record.expires_at_ms);
  out.append(kChecksumEnd - kChecksumOffset, '\0');
  PutFixed(&out, stored);
  if (record.fingerprint) {
    PutBig(&out, static_cast<uint8_t>(record.fingerprint->recipe));
    PutArray(&out, record.fingerprint->digest);
  }
  PutString(&out, record.type);
  PutString(&out, record.source_ip);
  if (record.response) {
    PutBig(&out, record.response->status);
    PutString(&out, record.response->head);
    PutBody(&out, record.response->body, stored.response_body);
  }
  PutVarint(&out, record.labels.size());
  for (const auto& [name, value] : record.labels) {
    PutString(&out, name);
    PutString(&out, value);
  }
  if (!record.claim_id.empty()) PutString(&out, record.claim_id);
  if (record.request) {
    PutString(&out, record.request->method);
    PutString(&out, record.request->target);
    PutString(&out, record.request->fields);
    PutBody(&out, record.request->body, stored.request_body);
  }
  if (!record.history.empty()) {
    PutVarint(&out, record.history.size());
    for (const HistoryEntry& entry : record.history) {
      PutTime(&out, entry.at_ms);
      PutBig(&out, static_cast<uint8_t>(entry.action));
      PutString(&out, entry.by);
      PutString(&out, entry.detail);
    }
  }
  std::string checksum;
  PutBig(&checksum, Checksum(record.key.bytes(), out));
  out.replace(kChecksumOffset, checksum.size(), checksum);
  return out;
}

Status DecodeRecord(const ScopedKey& key, std::string_view value, RecordParts parts, StoredRecord* stored) {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  if (reader.ok() && version > kRecordVersion)
    return Corruption("a record is of version " + std::to_string(version) + "; this program reads up to version " +
                      std::to_string(kRecordVersion));
  *stored = StoredRecord{};
  Record& record = stored->record;
  record.expires_at_ms = reader.Time();
  const auto checksum = reader.Big<uint32_t>();
  if (!reader.ok() || version < kValueVersion || checksum != Checksum(key.bytes(), value))
    return Corruption("a record's checksum is wrong");
  record.key = key;
  unsigned flags = 0;
  if (!ReadFixed(&reader, stored, &flags)) return Corruption("a record holds an unknown value");
  if (((flags & kHasHistory) != 0) != (version == kRecordVersion))
    return Corruption("a record's version is not that of what it holds");
  record.type = reader.String();
  record.source_ip = reader.String();
  if ((flags & kHasResponse) != 0) ReadResponse(&reader, flags, stored);
  if (parts == RecordParts::kAll) {
    ReadLabels(&reader, &record.labels);
    if ((flags & kHasClaimId) != 0) record.claim_id = reader.String();
    if ((flags & kHasRequest) != 0) ReadRequest(&reader, flags, stored);
    if ((flags & kHasHistory) != 0 && !ReadHistory(&reader, &record.history))
      return Corruption("a record holds an unknown value");
    if (!reader.rest().empty()) return Corruption("a record has bytes after its end");
  }
  return reader.ok() ? OkStatus() : Corruption("a record ends too early");
}

bool ExpiresAtOfRecord(std::string_view key, std::string_view value, int64_t* expires_at_ms) noexcept {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  const int64_t expires_at = reader.Time();
  const auto checksum = reader.Big<uint32_t>();
  const bool known = version >= kValueVersion && version <= kRecordVersion;
  if (!reader.ok() || !known || checksum != Checksum(key, value)) return false;
  *expires_at_ms = expires_at;
  return true;
}

BodyRef PlaceApart(std::string_view body, int64_t until_ms) {
  return {.apart = true, .until_ms = until_ms, .size = static_cast<uint32_t>(body.size()), .checksum = Crc32c(body)};
}

}  // namespace oncegate::store

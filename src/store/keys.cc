#include "store/keys.h"

#include "base/hash.h"
#include "store/bytes.h"

namespace oncegate::store {

std::string ExpiryKey(int64_t expires_at_ms, uint32_t type_id, const ScopedKey& key) {
  std::string out;
  out.reserve(12 + key.bytes().size());
  PutTime(&out, expires_at_ms);
  PutBig(&out, type_id);
  out.append(key.bytes());
  return out;
}

bool ParseExpiryKey(std::string_view bytes, ExpiryEntry* entry) {
  Reader reader(bytes);
  entry->expires_at_ms = reader.Time();
  entry->type_id = reader.Big<uint32_t>();
  return reader.ok() && !reader.rest().empty();
}

bool CountKeyOfEntry(std::string_view key, std::string_view value, CountKey* count) {
  ExpiryEntry entry;
  if (!ParseExpiryKey(key, &entry) || value.size() != 1 || value[0] < 1 || value[0] > 3) return false;
  *count = {
      .state = static_cast<RecordState>(value[0]), .type_id = entry.type_id, .expires_at_ms = entry.expires_at_ms};
  return true;
}

std::string TimeBound(int64_t ms) {
  std::string out;
  PutTime(&out, ms);
  return out;
}

std::string CreatedKey(int64_t created_at_ms, const ScopedKey& key) {
  std::string out;
  out.reserve(8 + key.bytes().size());
  PutTime(&out, created_at_ms);
  out.append(key.bytes());
  return out;
}

bool ParseCreatedKey(std::string_view bytes, CreatedEntry* entry) {
  Reader reader(bytes);
  entry->created_at_ms = reader.Time();
  return reader.ok() && ScopedKey::FromBytes(reader.rest(), &entry->key);
}

std::string LabelPrefix(std::string_view name, std::string_view value) {
  const Sha256Digest digest = Sha256OfParts({name, value});
  return {reinterpret_cast<const char*>(digest.data()), 16};
}

std::string TokenPrefix(const Token& token) {
  return LabelPrefix({}, {reinterpret_cast<const char*>(token.data()), token.size()});
}

std::string BodyKey(int64_t until_ms, const RecordId& id, BodyPart part) {
  std::string out;
  PutTime(&out, until_ms);
  PutArray(&out, id);
  PutBig(&out, static_cast<uint8_t>(part));
  return out;
}

std::string ReplaysKey(const ScopedKey& key, const RecordId& id) {
  std::string out = key.bytes();
  PutArray(&out, id);
  return out;
}

std::string EncodeReplays(const Record& record) {
  std::string out;
  PutBig(&out, kValueVersion);
  PutTime(&out, record.expires_at_ms);
  PutBig(&out, record.replays);
  PutTime(&out, record.first_replay_at_ms);
  PutTime(&out, record.last_replay_at_ms);
  return out;
}

bool DecodeReplays(std::string_view value, Record* record) {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  reader.Time();
  record->replays = reader.Big<uint64_t>();
  if (!reader.rest().empty()) {
    record->first_replay_at_ms = reader.Time();
    record->last_replay_at_ms = reader.Time();
  }
  return reader.ok() && version == kValueVersion;
}

std::string EncodeSummary(const Summary& summary) {
  std::string out;
  PutBig(&out, kValueVersion);
  PutTime(&out, summary.expires_at_ms);
  PutTime(&out, summary.created_at_ms);
  PutBig(&out, summary.type_id);
  PutBig(&out, static_cast<uint8_t>(summary.state));
  PutBig(&out, static_cast<uint8_t>(summary.owner));
  return out;
}

bool DecodeSummary(std::string_view value, Summary* summary) {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  summary->expires_at_ms = reader.Time();
  summary->created_at_ms = reader.Time();
  summary->type_id = reader.Big<uint32_t>();
  const auto state = reader.Big<uint8_t>();
  const auto owner = reader.Big<uint8_t>();
  if (!reader.ok() || version != kValueVersion || state < 1 || state > 3 || owner < 1 || owner > 2) return false;
  summary->state = static_cast<RecordState>(state);
  summary->owner = static_cast<ClaimOwner>(owner);
  return true;
}

bool ExpiresAtOfValue(std::string_view /*key*/, std::string_view value, int64_t* expires_at_ms) noexcept {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  *expires_at_ms = reader.Time();
  return reader.ok() && version == kValueVersion;
}

bool ExpiresAtOfTimeKey(std::string_view key, std::string_view /*value*/, int64_t* expires_at_ms) noexcept {
  Reader reader(key);
  *expires_at_ms = reader.Time();
  return reader.ok();
}

}  // namespace oncegate::store

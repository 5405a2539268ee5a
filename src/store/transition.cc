#include "store/transition.h"

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <vector>

#include "store/keys.h"

namespace oncegate::store {
namespace {

bool SamePlace(const IndexEntry& a, const IndexEntry& b) {
  return a.family == b.family && a.key == b.key;
}

// The keys under which a record's bodies stand.
std::vector<std::string> BodyKeysOf(const StoredRecord& stored) {
  std::vector<std::string> keys;
  if (stored.request_body.apart)
    keys.push_back(BodyKey(stored.request_body.until_ms, stored.record.id, BodyPart::kRequest));
  if (stored.response_body.apart)
    keys.push_back(BodyKey(stored.response_body.until_ms, stored.record.id, BodyPart::kResponse));
  return keys;
}

void DeleteBefore(const ScopedKey& key, const StoredRecord& before, const StoredRecord* after, Database& database,
                  rocksdb::WriteBatch* batch) {
  const std::vector<IndexEntry> kept = after != nullptr ? IndexEntriesOf(key, *after) : std::vector<IndexEntry>();
  for (const IndexEntry& entry : IndexEntriesOf(key, before)) {
    const auto same = [&entry](const IndexEntry& other) { return SamePlace(entry, other); };
    if (std::none_of(kept.begin(), kept.end(), same)) (void)batch->Delete(database.Handle(entry.family), entry.key);
  }
  const std::vector<std::string> bodies = after != nullptr ? BodyKeysOf(*after) : std::vector<std::string>();
  for (const std::string& body : BodyKeysOf(before)) {
    if (std::find(bodies.begin(), bodies.end(), body) == bodies.end())
      (void)batch->Delete(database.Handle(Family::kBodies), body);
  }
  // Only outcomes are replayed, so that other records have no count.
  const bool same_id = after != nullptr && after->record.id == before.record.id;
  if (before.record.state == RecordState::kCompleted && !same_id)
    (void)batch->Delete(database.Handle(Family::kReplays), ReplaysKey(key, before.record.id));
}

}  // namespace

std::vector<IndexEntry> IndexEntriesOf(const ScopedKey& key, const StoredRecord& stored) {
  const Record& record = stored.record;
  const std::string summary = EncodeSummary({.expires_at_ms = record.expires_at_ms,
                                             .created_at_ms = record.created_at_ms,
                                             .type_id = stored.type_id,
                                             .state = record.state,
                                             .owner = record.owner});
  std::vector<IndexEntry> entries;
  if (record.state != RecordState::kCompleted) entries.push_back({Family::kOpen, key.bytes(), summary});
  if (record.expires_at_ms != kNever)
    entries.push_back({Family::kExpiry, ExpiryKey(record.expires_at_ms, stored.type_id, key),
                       std::string(1, static_cast<char>(record.state))});
  const std::string created = CreatedKey(record.created_at_ms, key);
  entries.push_back({Family::kCreated, created, summary});
  for (const auto& [name, value] : record.labels)
    entries.push_back({Family::kLabels, LabelPrefix(name, value) + created, summary});
  if (record.owner == ClaimOwner::kSidecar)
    entries.push_back({Family::kLabels, TokenPrefix(record.token) + created, summary});
  return entries;
}

void AppendTransition(const Transition& transition, Database& database, rocksdb::WriteBatch* batch) {
  const auto& [key, before, after, request_body, response_body] = transition;
  if (before != nullptr && before->record.state == RecordState::kCompleted) database.outcomes().Forget(key);
  if (before != nullptr) database.open_claims().Forget(before->record.token);
  if (before != nullptr) DeleteBefore(key, *before, after, database, batch);
  if (after == nullptr) {
    (void)batch->Delete(database.Handle(Family::kRecords), key.bytes());
    return;
  }
  (void)batch->Put(database.Handle(Family::kRecords), key.bytes(), EncodeRecord(*after));
  // An earlier program would not know what to make of it: it is to refuse the directory.
  if (!after->record.history.empty())
    (void)batch->Put(database.Handle(Family::kDefault), rocksdb::Slice(kFormatKey.data(), kFormatKey.size()),
                     std::to_string(kFormatVersion));
  for (const IndexEntry& entry : IndexEntriesOf(key, *after))
    (void)batch->Put(database.Handle(entry.family), entry.key, entry.value);
  const RecordId& id = after->record.id;
  if (request_body)
    (void)batch->Put(database.Handle(Family::kBodies), BodyKey(after->request_body.until_ms, id, BodyPart::kRequest),
                     *request_body);
  if (response_body)
    (void)batch->Put(database.Handle(Family::kBodies), BodyKey(after->response_body.until_ms, id, BodyPart::kResponse),
                     *response_body);
}

CountKey CountKeyOf(const StoredRecord& stored) {
  return {.state = stored.record.state, .type_id = stored.type_id, .expires_at_ms = stored.record.expires_at_ms};
}

void CountTransition(const Transition& transition, RecordCounts* counts) {
  if (transition.before != nullptr) counts->Add(CountKeyOf(*transition.before), -1);
  if (transition.after != nullptr) counts->Add(CountKeyOf(*transition.after), +1);
}

}  // namespace oncegate::store

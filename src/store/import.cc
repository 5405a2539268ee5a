#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "store/store_impl.h"

namespace oncegate::store {

// The records of one call, and what they take the place of. They stay where they are until they are counted.
struct RocksDbStore::ImportBatch {
  struct Change {
    ScopedKey key;
    Found before;
    StoredRecord after;
  };
  std::deque<Change> changes;
  std::set<std::string> keys;
  rocksdb::WriteBatch writes;
  ImportReport report;
};

Status RocksDbStore::ImportOne(Record record, int64_t now_ms, ImportBatch* batch) {
  if (record.expires_at_ms <= now_ms) {
    ++batch->report.expired;
    return OkStatus();
  }
  Result<Found> found = Load(record.key, RecordParts::kAll);
  if (found.status().code() == StatusCode::kCorruption) {
    ++batch->report.existing;  // damaged, but there
    return OkStatus();
  }
  if (!found.ok()) return found.status();
  const bool live = *found && IsLive((*found)->record, now_ms);
  if (live || !batch->keys.insert(record.key.bytes()).second) {
    ++batch->report.existing;
    return OkStatus();
  }
  const Result<uint32_t> type_id = types_.IdFor(record.type);
  if (!type_id.ok()) return type_id.status();
  ImportBatch::Change& change = batch->changes.emplace_back();
  change.key = record.key;
  change.before = *std::move(found);
  change.after.type_id = *type_id;
  Record& after = change.after.record;
  after = std::move(record);
  if (after.id == RecordId{}) after.id = NewRecordId();
  after.token = NewToken();
  Transition transition{.key = change.key,
                        .before = change.before ? &*change.before : nullptr,
                        .after = &change.after,
                        .request_body = {},
                        .response_body = {}};
  if (after.request && after.request->body.size() > kInlineRequestBytesMax) {
    change.after.request_body = PlaceApart(after.request->body, after.expires_at_ms);
    transition.request_body = std::exchange(after.request->body, {});
  }
  if (after.response && after.response->body.size() > kInlineResponseBytesMax) {
    change.after.response_body = PlaceApart(after.response->body, after.expires_at_ms);
    transition.response_body = std::exchange(after.response->body, {});
  }
  AppendTransition(transition, *database_, &batch->writes);
  ++batch->report.imported;
  return OkStatus();
}

// Nobody else holds two of the keys' locks, so that any order would do among importers if it is always the same.
Result<ImportReport> RocksDbStore::Import(std::vector<Record> records) {
  if (records.size() > kImportMax) return InvalidArgument("too many records at once");
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  if (Status status = CheckSpace(); !status.ok()) return status;
  // Types that are new cost a write each, for which no claim has to wait.
  int64_t ttl_ms_max = 0;
  for (const Record& record : records) {
    ttl_ms_max = std::max(ttl_ms_max, record.ttl_ms);
    if (const Result<uint32_t> type_id = types_.IdFor(record.type); !type_id.ok()) return type_id.status();
  }
  if (Status status = NoteRemembered(ttl_ms_max); !status.ok()) return status;
  std::set<std::mutex*> shards;
  for (const Record& record : records) shards.insert(&ShardOf(record.key));
  std::vector<std::unique_lock<std::mutex>> locks;
  locks.reserve(shards.size());
  for (std::mutex* shard : shards) locks.emplace_back(*shard);

  ImportBatch batch;
  const int64_t now_ms = NowMs();
  for (Record& record : records) {
    if (Status status = ImportOne(std::move(record), now_ms, &batch); !status.ok()) return status;
  }
  if (batch.changes.empty()) return batch.report;
  const WriteGate::Pass pass(gate_);
  if (Status status = database_->Write(&batch.writes); !status.ok()) return status;
  for (const ImportBatch::Change& change : batch.changes) {
    CountTransition({.key = change.key,
                     .before = change.before ? &*change.before : nullptr,
                     .after = &change.after,
                     .request_body = {},
                     .response_body = {}},
                    &counts_);
  }
  return batch.report;
}

}  // namespace oncegate::store

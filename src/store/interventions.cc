// What operators do with records whose outcome is not what it should be.

#include "store/store_impl.h"

namespace oncegate::store {

Result<Intervention> RocksDbStore::Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome, bool in_flight,
                                           std::string_view by) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  const Result<Found> found = Load(key, RecordParts::kAll);
  if (!found.ok()) return found.status();
  const int64_t now_ms = NowMs();
  if (!*found || !IsLive((*found)->record, now_ms)) return Intervention::kNoRecord;
  const StoredRecord& before = **found;
  if (IsAlive(before.record, now_ms, in_flight)) return Intervention::kInFlight;
  if (before.record.state == RecordState::kCompleted) return Intervention::kSettled;
  Transition transition{.key = key, .before = &before, .request_body = {}, .response_body = {}};
  Result<StoredRecord> after = before;
  if (outcome) {
    after = MakeCompleted(before, *std::move(outcome), &transition);
    if (!after.ok()) return after.status();
    after->record.token = NewToken();
    AddHistory({.at_ms = now_ms,
                .by = std::string(by),
                .action = HistoryAction::kResolved,
                .detail = "completed with status " + std::to_string(after->record.response->status)},
               &after->record);
    transition.after = &*after;
  }
  if (Status status = Commit(transition); !status.ok()) return status;
  return Intervention::kDone;
}

Result<RedeliveryResult> RocksDbStore::Redeliver(const ScopedKey& key, bool force, std::string_view by) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  Result<Found> found = Load(key, RecordParts::kAll);
  if (!found.ok()) return found.status();
  const int64_t now_ms = NowMs();
  if (!*found || !IsLive((*found)->record, now_ms)) return RedeliveryResult(Intervention::kNoRecord);
  const StoredRecord before = **found;
  if (IsAlive(before.record, now_ms, false)) return RedeliveryResult(Intervention::kInFlight);
  if (before.record.state == RecordState::kCompleted && !force) return RedeliveryResult(Intervention::kSettled);
  if (!before.record.request || !before.record.request->body_kept)
    return RedeliveryResult(Intervention::kNotRedeliverable);
  if (Status status = LoadBodies(&**found); !status.ok()) return status;
  StoredRecord after = before;
  Record& record = after.record;
  record.state = RecordState::kInProgress;
  record.owner = ClaimOwner::kGateway;
  record.token = NewToken();
  ++record.attempt;
  record.completed_at_ms = 0;
  record.expires_at_ms = kNever;
  record.lease_expires_at_ms = kNever;
  AddHistory({.at_ms = now_ms,
              .by = std::string(by),
              .action = HistoryAction::kRedelivered,
              .detail = "attempt " + std::to_string(record.attempt)},
             &record);
  const Status status =
      Commit({.key = key, .before = &before, .after = &after, .request_body = {}, .response_body = {}});
  if (!status.ok()) return status;
  return RedeliveryResult(Redelivery{record.token, record.attempt, std::move((*found)->record)});
}

Status RocksDbStore::PutBack(const ScopedKey& key, const Redelivery& redelivery) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  const Result<StoredRecord> now = LoadClaim(key, redelivery.token);
  if (!now.ok()) return now.status();
  if (now->record.state != RecordState::kInProgress) return Conflict("the claim was lost: it was settled");
  const Record& before = redelivery.before;
  Transition transition{.key = key, .before = &*now, .request_body = {}, .response_body = {}};
  // It has expired meanwhile: then there is nothing to put back.
  if (!IsLive(before, NowMs())) return Commit(transition);
  Result<StoredRecord> after = *now;
  Record& record = after->record;
  record.state = before.state;
  record.owner = before.owner;
  record.token = before.token;
  record.attempt = before.attempt;
  record.completed_at_ms = before.completed_at_ms;
  record.expires_at_ms = before.expires_at_ms;
  record.lease_expires_at_ms = before.lease_expires_at_ms;
  if (!record.history.empty()) record.history.back().detail += ": no final answer, the record is as it was before";
  // One whose owner was gone without a word is as unknown as it was.
  if (before.state == RecordState::kInProgress) {
    const StoredRecord orphan = *after;
    after = MakeUnknown(orphan, NowMs(), &transition);
    if (!after.ok()) return after.status();
  }
  transition.after = &*after;
  return Commit(transition);
}

}  // namespace oncegate::store

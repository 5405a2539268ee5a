#include "base/hash.h"
#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// How much longer than announced a request's body stays in its place. Executions that take longer than that move it.
constexpr int64_t kRequestBodyMarginMs = 3'600'000;

Status Lost(const char* why) {
  return Conflict(std::string("the claim was lost: ") + why);
}

Record WithoutPeoplesParts(Record record) {
  record.labels.clear();
  record.request.reset();
  return record;
}

}  // namespace

std::mutex& RocksDbStore::ShardOf(const ScopedKey& key) {
  return shards_[ShardHash(key.bytes()) % shards_.size()];
}

Status RocksDbStore::Commit(const Transition& transition) {
  rocksdb::WriteBatch batch;
  AppendTransition(transition, *database_, &batch);
  const WriteGate::Pass pass(gate_);
  Status status = database_->Write(&batch);
  if (status.ok()) CountTransition(transition, &counts_);
  if (status.ok()) NoteLease(transition);
  return status;
}

// The claim that `claim` repeats: the first answer was lost on its way.
std::optional<Claimed> RocksDbStore::Repeated(const ClaimRequest& claim, const Record& record) {
  if (claim.claim_id.empty() || record.owner != ClaimOwner::kSidecar || record.claim_id != claim.claim_id)
    return std::nullopt;
  Claimed claimed;
  claimed.token = record.token;
  claimed.attempt = record.attempt;
  claimed.id = record.id;
  claimed.lease_expires_at_ms = record.lease_expires_at_ms;
  claimed.repeated = true;
  return claimed;
}

Result<ClaimResult> RocksDbStore::Claim(const ClaimRequest& claim, const RequestFacts& facts) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(claim.key));
  Change change(claim.key);
  Result<ClaimResult> result = PrepareClaim(claim, facts, &change);
  if (!change.is_wanted()) return result;
  if (Status status = Commit(change.transition); !status.ok()) {
    DoubtClaim(claim, change);
    return status;
  }
  return result;
}

void RocksDbStore::DoubtClaim(const ClaimRequest& claim, const Change& change) {
  if (change.after->record.attempt == 1 && !claim.acts_on_failure) Doubt(claim.key, change.after->record.token);
}

Result<ClaimResult> RocksDbStore::PrepareClaim(const ClaimRequest& claim, const RequestFacts& facts, Change* change) {
  Result<Found> found = Load(claim.key, RecordParts::kAll);
  if (!found.ok()) return found.status();
  change->before = *std::move(found);
  StoredRecord* before = change->before ? &*change->before : nullptr;
  const int64_t now_ms = NowMs();
  std::optional<RecordFacts> record_facts;
  if (before != nullptr) record_facts = FactsOf(before->record, now_ms);
  const std::optional<RestoredState> restored = Restored();
  const bool held = restored && restored->policy == RestoredPolicy::kHold;
  const Decision decision =
      Decide(record_facts ? &*record_facts : nullptr, facts, now_ms, held ? AbsentKeys::kHold : AbsentKeys::kExecute);
  const auto* execute = std::get_if<Execute>(&decision);
  // Where there is no record it is one of the two.
  if (std::holds_alternative<Held>(decision) || (execute == nullptr && before == nullptr))
    return ClaimResult(Refused{decision, {}});
  if (before != nullptr && std::holds_alternative<InFlight>(decision)) {
    if (const std::optional<Claimed> repeated = Repeated(claim, before->record)) return ClaimResult(*repeated);
  }
  if (execute == nullptr) {
    before->record = WithoutPeoplesParts(std::move(before->record));
    if (Status status = LoadBodies(before); !status.ok()) return status;
    return ClaimResult(Refused{decision, std::move(before->record)});
  }
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  if (Status status = CheckSpace(); !status.ok()) return status;
  if (Status status = NoteRemembered(claim.ttl_ms); !status.ok()) return status;
  const bool rerun = before != nullptr && IsLive(before->record, now_ms);
  Result<StoredRecord> after =
      MakeClaim(claim, facts, execute->attempt, rerun ? before : nullptr, now_ms, &change->transition);
  if (!after.ok()) return after.status();
  change->after = *std::move(after);
  change->transition.before = before;
  change->transition.after = &*change->after;
  const Record& record = change->after->record;
  return ClaimResult(Claimed{.token = record.token,
                             .attempt = record.attempt,
                             .id = record.id,
                             .lease_expires_at_ms = record.lease_expires_at_ms,
                             .possible_duplicate = restored && !rerun});
}

Result<StoredRecord> RocksDbStore::MakeClaim(const ClaimRequest& claim, const RequestFacts& facts, uint32_t attempt,
                                             const StoredRecord* rerun, int64_t now_ms, Transition* transition) {
  Result<uint32_t> type_id = types_.IdFor(claim.type);
  if (!type_id.ok()) return type_id.status();
  StoredRecord after;
  after.type_id = *type_id;
  Record& record = after.record;
  record.id = rerun != nullptr ? rerun->record.id : NewRecordId();
  record.key = claim.key;
  record.type = claim.type;
  record.state = RecordState::kInProgress;
  record.owner = claim.owner;
  record.token = NewToken();
  record.attempt = attempt;
  record.created_at_ms = rerun != nullptr ? rerun->record.created_at_ms : now_ms;
  record.ttl_ms = claim.ttl_ms;
  record.hold_unknown = claim.hold_unknown;
  if (claim.owner == ClaimOwner::kSidecar) record.lease_expires_at_ms = StoredTime::After(now_ms, claim.lease_ms);
  record.on_lease_expiry = claim.on_lease_expiry;
  record.claim_id = claim.claim_id;
  record.fingerprint = facts.fingerprint;
  record.source_ip = claim.source_ip;
  record.labels = claim.labels;
  record.request = claim.request;
  if (rerun != nullptr) record.history = rerun->record.history;
  if (record.request && record.request->body.size() > kInlineRequestBytesMax) {
    const int64_t needed_ms = StoredTime::After(kRequestBodyMarginMs, claim.request_body_needed_ms);
    after.request_body = PlaceApart(record.request->body, StoredTime::After(now_ms, needed_ms));
    transition->request_body = std::move(record.request->body);
    record.request->body.clear();
  }
  return after;
}

Result<StoredRecord> RocksDbStore::LoadClaim(const ScopedKey& key, const Token& token) {
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  Result<Found> found = Load(key, RecordParts::kAll);
  if (!found.ok()) return found.status();
  if (!*found || !IsLive((*found)->record, NowMs())) return Lost("the key is not known any more");
  if ((*found)->record.token != token) return Lost("the key was claimed again");
  return std::move(**found);
}

Status RocksDbStore::MoveRequestBody(const StoredRecord& before, StoredRecord* after, Transition* transition) {
  const BodyRef& ref = before.request_body;
  const int64_t expires_at_ms = after->record.expires_at_ms;
  const bool too_early = ref.until_ms < expires_at_ms;
  const bool for_ever = ref.until_ms == kNever && expires_at_ms != kNever;
  if (!ref.apart || (!too_early && !for_ever)) return OkStatus();
  std::string body;
  if (Status status = LoadBody(ref, before.record.id, BodyPart::kRequest, &body); !status.ok()) return status;
  after->request_body.until_ms = expires_at_ms;
  transition->request_body = std::move(body);
  return OkStatus();
}

Status RocksDbStore::CheckSameOutcome(StoredRecord stored, const StoredResponse& response) {
  if (Status status = LoadBodies(&stored); !status.ok()) return status;
  return stored.record.response == response ? OkStatus() : Lost("it was completed with another outcome");
}

Status RocksDbStore::Complete(const ScopedKey& key, const Token& token, StoredResponse response) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  Change change(key);
  Status status = PrepareCompletion(key, token, std::move(response), &change);
  return change.is_wanted() ? Commit(change.transition) : status;
}

Status RocksDbStore::PrepareCompletion(const ScopedKey& key, const Token& token, StoredResponse response,
                                       Change* change) {
  std::optional<StoredRecord> open = database_->open_claims().Take(key, token);
  Result<StoredRecord> before = open ? Result<StoredRecord>(*std::move(open)) : LoadClaim(key, token);
  if (!before.ok()) return before.status();
  if (before->record.state == RecordState::kCompleted) return CheckSameOutcome(*std::move(before), response);
  change->before = *std::move(before);
  Result<StoredRecord> after = MakeCompleted(*change->before, std::move(response), &change->transition);
  if (!after.ok()) return after.status();
  change->after = *std::move(after);
  change->transition.before = &*change->before;
  change->transition.after = &*change->after;
  return OkStatus();
}

Result<StoredRecord> RocksDbStore::MakeCompleted(const StoredRecord& before, StoredResponse response,
                                                 Transition* transition) {
  const int64_t now_ms = NowMs();
  StoredRecord after = before;
  Record& record = after.record;
  record.state = RecordState::kCompleted;
  record.completed_at_ms = now_ms;
  record.expires_at_ms = StoredTime::After(now_ms, record.ttl_ms);
  after.response_body = {};
  if (response.body.size() > kInlineResponseBytesMax) {
    after.response_body = PlaceApart(response.body, record.expires_at_ms);
    transition->response_body = std::move(response.body);
    response.body.clear();
  }
  record.response = std::move(response);
  if (Status status = MoveRequestBody(before, &after, transition); !status.ok()) return status;
  return after;
}

Status RocksDbStore::Release(const ScopedKey& key, const Token& token) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  Result<StoredRecord> before = LoadClaim(key, token);
  if (!before.ok()) return before.status();
  if (before->record.state == RecordState::kCompleted) return Lost("it was completed");
  return Commit({.key = key, .before = &*before, .request_body = {}, .response_body = {}});
}

Result<StoredRecord> RocksDbStore::MakeUnknown(const StoredRecord& before, int64_t now_ms, Transition* transition) {
  StoredRecord after = before;
  after.record.state = RecordState::kUnknown;
  // That of a completed record that was being redelivered: what counts now nobody knows.
  after.record.response.reset();
  after.response_body = {};
  after.record.expires_at_ms = before.record.hold_unknown ? kNever : StoredTime::After(now_ms, before.record.ttl_ms);
  if (Status status = MoveRequestBody(before, &after, transition); !status.ok()) return status;
  return after;
}

Status RocksDbStore::MarkUnknown(const ScopedKey& key, const Token& token) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  Result<StoredRecord> before = LoadClaim(key, token);
  if (!before.ok()) return before.status();
  if (before->record.state == RecordState::kCompleted) return Lost("it was completed");
  if (before->record.state == RecordState::kUnknown) return OkStatus();
  Transition transition{.key = key, .before = &*before, .request_body = {}, .response_body = {}};
  Result<StoredRecord> after = MakeUnknown(*before, NowMs(), &transition);
  if (!after.ok()) return after.status();
  transition.after = &*after;
  return Commit(transition);
}

bool RocksDbStore::IsAlive(const Record& record, int64_t now_ms, bool in_flight) {
  if (record.state != RecordState::kInProgress) return false;
  return record.owner == ClaimOwner::kGateway ? in_flight : record.lease_expires_at_ms > now_ms;
}

Result<bool> RocksDbStore::Erase(const ScopedKey& key, bool force, bool in_flight) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  Result<Found> found = Load(key, RecordParts::kAll);
  if (found.status().code() == StatusCode::kCorruption && force) {
    if (Status status = EraseUnreadable(key); !status.ok()) return status;
    return true;
  }
  if (!found.ok()) return found.status();
  const int64_t now_ms = NowMs();
  if (!*found || !IsLive((*found)->record, now_ms)) return false;
  if (IsAlive((*found)->record, now_ms, in_flight) && !force) return Conflict("the key is being executed");
  if (Status status = Commit({.key = key, .before = &**found, .request_body = {}, .response_body = {}}); !status.ok())
    return status;
  return true;
}

// The operator's way out of a damaged record. What the indexes say of it cannot be found without it; listings skip
// entries without a record, and the entries go when their time comes.
Status RocksDbStore::EraseUnreadable(const ScopedKey& key) {
  rocksdb::PinnableSlice value;
  Result<bool> open = database_->Get(Family::kOpen, key.bytes(), &value);
  if (!open.ok()) return open.status();
  Summary summary;
  const bool counted = *open && DecodeSummary(AsView(value), &summary);
  database_->outcomes().Forget(key);
  database_->open_claims().Clear();
  rocksdb::WriteBatch batch;
  (void)batch.Delete(database_->Handle(Family::kRecords), key.bytes());
  (void)batch.Delete(database_->Handle(Family::kOpen), key.bytes());
  const WriteGate::Pass pass(gate_);
  Status status = database_->Write(&batch);
  if (status.ok() && counted && summary.expires_at_ms == kNever)
    counts_.Add({.state = summary.state, .type_id = summary.type_id, .expires_at_ms = kNever}, -1);
  return status;
}

}  // namespace oncegate::store

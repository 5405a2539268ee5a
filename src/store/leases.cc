// Sidecar claims: their leases, and their tokens.

#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// Leases that one call ends at most, so that no reader waits long for it.
constexpr size_t kLeasesEndedAtOnceMax = 1000;
// Index entries looked at for one token. There is one, unless two tokens share half of a SHA-256.
constexpr int kTokenEntriesMax = 8;

bool IsLeased(const StoredRecord* stored) {
  return stored != nullptr && stored->record.owner == ClaimOwner::kSidecar &&
         stored->record.state == RecordState::kInProgress;
}

}  // namespace

void RocksDbStore::NoteLease(const Transition& transition) {
  if (IsLeased(transition.after)) {
    const Record& record = transition.after->record;
    leases_.Set(transition.key, record.lease_expires_at_ms);
    tokens_.Note(record.token, transition.key);
  } else if (IsLeased(transition.before)) {
    leases_.Remove(transition.key);
  }
}

void RocksDbStore::EndLeases() {
  if (database_->read_only()) return;
  const int64_t now_ms = NowMs();
  for (const ScopedKey& key : leases_.TakeEnded(now_ms, kLeasesEndedAtOnceMax)) {
    const Status status = EndLease(key);
    // What cannot be written now is tried again by the next one who looks.
    if (!status.ok() && status.code() != StatusCode::kCorruption) leases_.Set(key, now_ms);
  }
}

Status RocksDbStore::EndLease(const ScopedKey& key) {
  const std::lock_guard lock(ShardOf(key));
  Result<Found> found = Load(key, RecordParts::kAll);
  if (!found.ok()) return found.status();
  if (!*found || !IsLeased(&**found)) return OkStatus();
  const Record& record = (*found)->record;
  const int64_t now_ms = NowMs();
  if (record.lease_expires_at_ms > now_ms) {
    leases_.Set(key, record.lease_expires_at_ms);
    return OkStatus();
  }
  Transition transition{.key = key, .before = &**found, .request_body = {}, .response_body = {}};
  const Result<StoredRecord> after = MakeUnknown(**found, now_ms, &transition);
  if (!after.ok()) return after.status();
  transition.after = &*after;
  if (Status status = Commit(transition); !status.ok()) return status;
  logger_.Log(LogLevel::kWarn, LogEvent::kUnknownHeld, "the lease of a claim has ended: its outcome is unknown",
              {{"scope", key.scope()},
               {"key", key.key()},
               {"on_lease_expiry", record.on_lease_expiry == LeaseExpiry::kRerun ? "rerun" : "hold"}});
  return OkStatus();
}

Result<int64_t> RocksDbStore::Renew(const ScopedKey& key, const Token& token, int64_t lease_ms) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(ShardOf(key));
  const Result<StoredRecord> before = LoadClaim(key, token);
  if (!before.ok()) return before.status();
  const int64_t now_ms = NowMs();
  if (!IsLeased(&*before) || before->record.lease_expires_at_ms <= now_ms)
    return Conflict("the claim was lost: its lease has ended");
  StoredRecord after = *before;
  after.record.lease_expires_at_ms = StoredTime::After(now_ms, lease_ms);
  const Status status =
      Commit({.key = key, .before = &*before, .after = &after, .request_body = {}, .response_body = {}});
  if (!status.ok()) return status;
  return after.record.lease_expires_at_ms;
}

Result<std::optional<ScopedKey>> RocksDbStore::FindToken(const Token& token) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const auto bears_token = [&](const ScopedKey& key) -> Result<bool> {
    const Result<Found> found = Load(key, RecordParts::kReplay);
    if (!found.ok()) return found.status();
    if (!*found || !IsLive((*found)->record, NowMs())) return false;
    return (*found)->record.owner == ClaimOwner::kSidecar && (*found)->record.token == token;
  };
  if (const std::optional<ScopedKey> hinted = tokens_.Find(token)) {
    const Result<bool> bears = bears_token(*hinted);
    if (!bears.ok()) return bears.status();
    if (*bears) return hinted;
  }
  const std::string prefix = TokenPrefix(token);
  Database::Range range = database_->Scan(Family::kLabels, prefix, {});
  int visited = 0;
  for (range->SeekToFirst(); range->Valid() && AsView(range->key()).starts_with(prefix); range->Next()) {
    if (++visited > kTokenEntriesMax) break;
    CreatedEntry entry;
    if (!ParseCreatedKey(AsView(range->key()).substr(prefix.size()), &entry))
      return Corruption("an index entry cannot be read");
    const Result<bool> bears = bears_token(entry.key);
    if (!bears.ok()) return bears.status();
    if (*bears) return std::optional<ScopedKey>(entry.key);
  }
  if (!range->status().ok()) return FromRocks(range->status(), "finding a token");
  return std::optional<ScopedKey>();
}

}  // namespace oncegate::store

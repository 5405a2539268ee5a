#include "base/thread_name.h"
#include "store/bytes.h"
#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// Claims settled in one write at the start, and index entries counted between two looks at whether to stop.
constexpr size_t kRecoveredInOneWrite = 500;
constexpr size_t kCountedBetweenStops = 4096;

}  // namespace

Status RocksDbStore::Start() {
  if (Status status = types_.Load(); !status.ok()) return status;
  if (Status status = ReadRemovedUntil(); !status.ok()) return status;
  if (!database_->read_only()) {
    if (Status status = StartRestored(); !status.ok()) return status;
    if (Status status = RecoverClaims(); !status.ok()) return status;
    if (Status status = SaveTime(); !status.ok()) return status;
  }
  if (Status status = CountOpen(); !status.ok()) return status;
  if (database_->read_only()) return OkStatus();  // counted when statistics are asked for
  StartCounting();
  reaper_ = std::thread([this] { Reap(); });
  repairer_ = std::thread([this] { RepairWhenWanted(); });
  return OkStatus();
}

Status RocksDbStore::ReadRemovedUntil() {
  rocksdb::PinnableSlice value;
  Result<bool> found = database_->Get(Family::kDefault, kRemovedUntilKey, &value);
  if (!found.ok()) return found.status();
  if (!*found) return OkStatus();
  Reader reader(AsView(value));
  const int64_t removed_until_ms = reader.Time();
  if (!reader.ok()) return Corruption("the end of what was removed cannot be read");
  counts_.SetRemovedUntil(removed_until_ms);
  return OkStatus();
}

// Gateways' claims are alive while their process is. Whether the application saw the request nobody can tell.
Status RocksDbStore::RecoverClaims() {
  Database::Range range = database_->Scan(Family::kOpen, {}, {});
  rocksdb::WriteBatch batch;
  size_t in_batch = 0;
  int64_t recovered = 0;
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    ScopedKey key;
    Summary summary;
    if (!ScopedKey::FromBytes(AsView(range->key()), &key) || !DecodeSummary(AsView(range->value()), &summary))
      return Corruption("an entry of the index of open claims cannot be read");
    if (summary.state != RecordState::kInProgress || summary.owner != ClaimOwner::kGateway) continue;
    if (Status status = RecoverClaim(key, &batch); !status.ok()) return status;
    ++recovered;
    if (++in_batch < kRecoveredInOneWrite) continue;
    if (Status status = database_->Write(&batch); !status.ok()) return status;
    batch.Clear();
    in_batch = 0;
  }
  if (!range->status().ok()) return FromRocks(range->status(), "reading open claims");
  if (in_batch > 0) {
    if (Status status = database_->Write(&batch); !status.ok()) return status;
  }
  if (recovered > 0)
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "claims of an earlier process are unknown now",
                {{"count", recovered}});
  return OkStatus();
}

Status RocksDbStore::RecoverClaim(const ScopedKey& key, rocksdb::WriteBatch* batch) {
  Result<Found> found = Load(key, RecordParts::kAll);
  if (found.status().code() == StatusCode::kCorruption) {
    // One damaged record must not keep the others from being served. Claiming its key fails until it is erased.
    logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency recovery",
                {{"key", key.key()}, {"scope", key.scope()}, {"reason", found.status().message()}});
    return OkStatus();
  }
  if (!found.ok()) return found.status();
  if (!*found || (*found)->record.state != RecordState::kInProgress)
    return FromRocks(batch->Delete(database_->Handle(Family::kOpen), key.bytes()), "settling open claims");
  Transition transition{.key = key, .before = &**found, .request_body = {}, .response_body = {}};
  Result<StoredRecord> after = MakeUnknown(**found, NowMs(), &transition);
  // Without its request's body the record cannot be redelivered, but is as unknown as others.
  if (after.status().code() == StatusCode::kCorruption) {
    (*found)->request_body = {};
    (*found)->record.request.reset();
    after = MakeUnknown(**found, NowMs(), &transition);
  }
  if (!after.ok()) return after.status();
  transition.after = &*after;
  AppendTransition(transition, *database_, batch);
  return OkStatus();
}

Status RocksDbStore::CountOpen() {
  Database::Range range = database_->Scan(Family::kOpen, {}, {});
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    Summary summary;
    if (!DecodeSummary(AsView(range->value()), &summary))
      return Corruption("an entry of the index of open claims cannot be read");
    // Those that expire are in the index of expiry times, too, and are counted there.
    if (summary.expires_at_ms == kNever)
      counts_.Add({.state = summary.state, .type_id = summary.type_id, .expires_at_ms = kNever}, +1);
    if (summary.state != RecordState::kInProgress || summary.owner != ClaimOwner::kSidecar) continue;
    ScopedKey key;
    // Looked at when it is due; what is due is only a guess until then.
    if (ScopedKey::FromBytes(AsView(range->key()), &key)) leases_.Set(key, 0);
  }
  return FromRocks(range->status(), "counting open claims");
}

Status RocksDbStore::CountExpiring(const rocksdb::Snapshot* snapshot) {
  Database::Range range = database_->Scan(Family::kExpiry, TimeBound(counts_.removed_until_ms() + 1), {}, snapshot);
  size_t counted = 0;
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (++counted % kCountedBetweenStops == 0 && (stop_.load() || stop_counting_.load()))
      return Unavailable("the store is being closed");
    CountKey key;
    if (!CountKeyOfEntry(AsView(range->key()), AsView(range->value()), &key))
      return Corruption("an entry of the index of expiry times cannot be read");
    counts_.Add(key, +1);
  }
  return database_->Note(FromRocks(range->status(), "counting records"));
}

void RocksDbStore::CountInBackground(const rocksdb::Snapshot* snapshot) {
  NameThisThread("counter");
  Status status = CountExpiring(snapshot);
  database_->db().ReleaseSnapshot(snapshot);
  if (!status.ok() && stop_counting_.load()) return;  // it will be counted anew
  if (!status.ok() && !stop_.load())
    logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency statistics", {{"reason", status.message()}});
  const std::lock_guard lock(thread_mu_);
  counted_ = true;
  count_status_ = std::move(status);
  thread_wake_.notify_all();
}

bool RocksDbStore::WaitUntilCounted() {
  std::unique_lock lock(thread_mu_);
  thread_wake_.wait(lock, [this] { return counted_ || stop_.load(); });
  return counted_;
}

}  // namespace oncegate::store

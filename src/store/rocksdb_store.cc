#include "store/rocksdb_store.h"

#include <algorithm>
#include <utility>

#include "store/bytes.h"
#include "store/crc32c.h"
#include "store/directory.h"
#include "store/keys.h"
#include "store/platform.h"
#include "store/store_impl.h"

namespace oncegate {

Result<std::unique_ptr<Store>> OpenRocksDbStore(const RocksDbStoreOptions& options, const Clock& clock,
                                                Logger& logger) {
  return store::OpenRocksDbStoreOn({}, options, clock, logger);
}

}  // namespace oncegate

namespace oncegate::store {
namespace {

// How often a read starts again when the record changes between reading it and its body.
constexpr int kReadsMax = 3;

}  // namespace

Result<std::unique_ptr<Store>> OpenRocksDbStoreOn(const Platform& platform, const RocksDbStoreOptions& options,
                                                  const Clock& clock, Logger& logger) {
  Result<std::unique_ptr<Database>> database = Database::Open(options, platform, &logger);
  if (!database.ok()) return database.status();
  const Result<int64_t> saved_ms = (*database)->SavedTimeMs();
  if (!saved_ms.ok()) return saved_ms.status();
  auto opened =
      std::make_unique<RocksDbStore>(platform, options, clock, logger, std::move(database).value(), *saved_ms);
  if (Status status = opened->Start(); !status.ok()) return status;
  return std::unique_ptr<Store>(std::move(opened));
}

RocksDbStore::RocksDbStore(const Platform& platform, const RocksDbStoreOptions& options, const Clock& clock,
                           Logger& logger, std::unique_ptr<Database> database, int64_t saved_time_ms)
    : platform_(platform),
      options_(options),
      clock_(clock),
      logger_(logger),
      database_(std::move(database)),
      time_(clock, saved_time_ms),
      types_(*database_) {}

RocksDbStore::~RocksDbStore() {
  StopThreads();
  if (!database_->read_only() && database_->is_open())
    (void)SaveTime();  // if it cannot be saved, the calendar clock will have to do
}

Result<RocksDbStore::Found> RocksDbStore::Load(const ScopedKey& key, RecordParts parts) {
  rocksdb::PinnableSlice value;
  Result<bool> found = database_->Get(Family::kRecords, key.bytes(), &value);
  if (!found.ok()) return found.status();
  if (!*found) return Found();
  Found stored(std::in_place);
  if (Status status = DecodeRecord(key, AsView(value), parts, &*stored); !status.ok())
    return database_->Note(std::move(status), Family::kRecords, key.bytes());
  return stored;
}

Status RocksDbStore::LoadBody(const BodyRef& ref, const RecordId& id, BodyPart part, std::string* body) {
  rocksdb::PinnableSlice value;
  Result<bool> found = database_->Get(Family::kBodies, BodyKey(ref.until_ms, id, part), &value);
  if (!found.ok()) return found.status();
  if (!*found) return Corruption("the body of record " + FormatUuid(id) + " is missing");
  if (value.size() != ref.size || Crc32c(AsView(value)) != ref.checksum)
    return Corruption("the body of record " + FormatUuid(id) + " is not what was written");
  body->assign(value.data(), value.size());
  return OkStatus();
}

Status RocksDbStore::LoadBodies(StoredRecord* stored) {
  Record& record = stored->record;
  if (record.response && stored->response_body.apart && record.state == RecordState::kCompleted) {
    Status status = LoadBody(stored->response_body, record.id, BodyPart::kResponse, &record.response->body);
    if (!status.ok()) return status;
  }
  if (!record.request || !stored->request_body.apart) return OkStatus();
  Status status = LoadBody(stored->request_body, record.id, BodyPart::kRequest, &record.request->body);
  // A claim whose end could not be written down outlives the place of its request's body. It is only for redelivery.
  if (!status.ok() && stored->request_body.until_ms <= counts_.removed_until_ms()) {
    record.request->body_kept = false;
    return OkStatus();
  }
  return status;
}

void RocksDbStore::HideFormerOutcome(Record* record) {
  if (record->state != RecordState::kCompleted) record->response.reset();
}

Status RocksDbStore::LoadReplays(Record* record) {
  rocksdb::PinnableSlice value;
  Result<bool> found = database_->Get(Family::kReplays, ReplaysKey(record->key, record->id), &value);
  if (!found.ok()) return found.status();
  if (*found && !DecodeReplays(AsView(value), record)) return Corruption("a count of replays cannot be read");
  return OkStatus();
}

Result<RocksDbStore::Found> RocksDbStore::LoadLive(const ScopedKey& key, RecordParts parts) {
  Status status;
  for (int i = 0; i < kReadsMax; ++i) {
    Result<Found> found = Load(key, parts);
    if (!found.ok()) return found.status();
    if (!*found || !IsLive((*found)->record, NowMs())) return Found();
    status = LoadBodies(&**found);
    // A body may be missing because the record has just been replaced or moved it: then the next read finds the new.
    if (status.code() == StatusCode::kCorruption) continue;
    if (status.ok() && parts == RecordParts::kAll) status = LoadReplays(&(*found)->record);
    if (!status.ok()) return status;
    HideFormerOutcome(&(*found)->record);
    return found;
  }
  return database_->Note(status);
}

Result<std::optional<Record>> RocksDbStore::Get(const ScopedKey& key, RecordParts parts) {
  const Access access(*this, Access::kReading);
  if (!access.status().ok()) return access.status();
  OutcomeCache& outcomes = database_->outcomes();
  std::unique_lock<std::mutex> lock;
  if (parts == RecordParts::kReplay) {
    const std::shared_ptr<const KnownOutcome> known = outcomes.Find(key);
    if (known && IsLive(known->record, NowMs())) return std::optional<Record>(known->record);
    // What is read under it may be kept. Nobody waits for it: it may be held across a write.
    lock = std::unique_lock(ShardOf(key), std::try_to_lock);
  }
  Result<Found> found = LoadLive(key, parts);
  if (!found.ok()) return found.status();
  if (!*found) return std::optional<Record>();
  StoredRecord& stored = **found;
  if (lock.owns_lock() && stored.record.state == RecordState::kCompleted && !stored.response_body.apart)
    outcomes.Put(stored.record);
  return std::optional<Record>(std::move(stored.record));
}

std::shared_ptr<const KnownOutcome> RocksDbStore::Recall(const ScopedKey& key) {
  const Access access(*this, Access::kAtOnce);
  if (!access.status().ok()) return nullptr;
  return database_->outcomes().Find(key);
}

Status RocksDbStore::CheckSpace() {
  constexpr int64_t kSpaceCheckIntervalMs = 1000;
  const int64_t now_ms = clock_.SteadyMs();
  int64_t checked_at_ms = space_checked_at_ms_.load();
  const bool due = checked_at_ms == INT64_MIN || now_ms - checked_at_ms >= kSpaceCheckIntervalMs;
  if (due && space_checked_at_ms_.compare_exchange_strong(checked_at_ms, now_ms)) {
    Result<int64_t> free = platform_.free_space_bytes(options_.directory);
    if (!free.ok()) {
      space_checked_at_ms_.store(INT64_MIN);  // the next call asks again, rather than taking it for enough
      return free.status();
    }
    space_low_.store(*free < options_.free_space_bytes_min);
  }
  if (!space_low_.load()) return OkStatus();
  return NoSpace("less than " + std::to_string(options_.free_space_bytes_min) + " bytes are free for " +
                 options_.directory);
}

Status RocksDbStore::CheckWritable() {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  if (Status status = database_->damage(); !status.ok()) return status;
  if (Status status = CheckSpace(); !status.ok()) return status;
  // Whether a store that failed works again shows only when something is written.
  return database_->failing() ? SaveTime() : OkStatus();
}

Status RocksDbStore::AddReplays(const std::vector<ReplayCount>& counts) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const std::lock_guard lock(replays_mu_);
  rocksdb::WriteBatch batch;
  for (const auto& [key, count, first_at_ms, last_at_ms] : counts) {
    Result<Found> found = Load(key, RecordParts::kReplay);
    // What is damaged is noted, and costs the others nothing.
    if (found.status().code() == StatusCode::kCorruption) continue;
    if (!found.ok()) return found.status();
    if (!*found || !IsLive((*found)->record, NowMs()) || (*found)->record.state != RecordState::kCompleted) continue;
    Record& record = (*found)->record;
    if (last_at_ms != 0 && last_at_ms < record.created_at_ms) continue;  // of one that has gone
    Status status = database_->Note(LoadReplays(&record));
    if (status.code() == StatusCode::kCorruption) continue;
    if (!status.ok()) return status;
    record.replays += count;
    if (record.first_replay_at_ms == 0) record.first_replay_at_ms = first_at_ms;
    record.last_replay_at_ms = std::max(record.last_replay_at_ms, last_at_ms);
    (void)batch.Put(database_->Handle(Family::kReplays), ReplaysKey(key, record.id), EncodeReplays(record));
  }
  return batch.Count() == 0 ? OkStatus() : database_->Write(&batch);
}

}  // namespace oncegate::store

#include "store/verifier.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "store/crc32c.h"
#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// Entries between two looks at whether to stop.
constexpr uint64_t kVisitedBetweenStops = 4096;

std::string NameOf(const ScopedKey& key) {
  return "'" + std::string(key.key()) + "' of scope '" + std::string(key.scope()) + "'";
}

std::string_view NameOf(Family family) {
  switch (family) {
    case Family::kExpiry:
      return "expiry";
    case Family::kOpen:
      return "open";
    case Family::kCreated:
      return "created";
    case Family::kLabels:
      return "labels";
    case Family::kDefault:
    case Family::kRecords:
    case Family::kBodies:
    case Family::kReplays:
      break;
  }
  return "another family";
}

// The key of the record that an index entry stands for.
bool OwnerOf(Family family, std::string_view entry, ScopedKey* key) {
  constexpr size_t kLabelBytes = 16;
  constexpr size_t kTimeAndTypeBytes = 12;
  if (family == Family::kOpen) return ScopedKey::FromBytes(entry, key);
  if (family == Family::kExpiry)
    return entry.size() > kTimeAndTypeBytes && ScopedKey::FromBytes(entry.substr(kTimeAndTypeBytes), key);
  if (family == Family::kLabels) {
    if (entry.size() < kLabelBytes) return false;
    entry.remove_prefix(kLabelBytes);
  }
  CreatedEntry created;
  if (!ParseCreatedKey(entry, &created)) return false;
  *key = created.key;
  return true;
}

}  // namespace

Verifier::Verifier(Database& database, int64_t removed_until_ms, const std::atomic<bool>& stop)
    : database_(database), removed_until_ms_(removed_until_ms), stop_(stop), snapshot_(database.db().GetSnapshot()) {}

Verifier::~Verifier() {
  database_.db().ReleaseSnapshot(snapshot_);
}

Result<VerifyReport> Verifier::Run() {
  if (Status status = CheckRecords(); !status.ok()) return status;
  for (const Family family : {Family::kOpen, Family::kCreated, Family::kLabels}) {
    if (Status status = CheckIndex(family, ExpiresAtOfValue); !status.ok()) return status;
  }
  if (Status status = CheckIndex(Family::kExpiry, ExpiresAtOfTimeKey); !status.ok()) return status;
  if (Status status = CountBodies(); !status.ok()) return status;
  // What is compared with nothing is read all the same: reading checks the blocks' checksums.
  for (const Family family : {Family::kReplays, Family::kDefault}) {
    if (Status status = ReadAll(family); !status.ok()) return status;
  }
  return std::move(report_);
}

void Verifier::Differs(std::string sentence) {
  ++report_.differences_total;
  if (report_.differences.size() < VerifyReport::kDifferencesMax) report_.differences.push_back(std::move(sentence));
}

bool Verifier::Find(Family family, std::string_view key, rocksdb::PinnableSlice* value) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot_;
  options.fill_cache = false;
  value->Reset();
  const rocksdb::Status status = database_.db().Get(options, database_.Handle(family), AsSlice(key), value);
  if (!status.ok() && !status.IsNotFound()) Differs(status.ToString());
  return status.ok();
}

Status Verifier::CheckRecords() {
  Database::Range range = database_.Scan(Family::kRecords, {}, {}, snapshot_);
  uint64_t visited = 0;
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (++visited % kVisitedBetweenStops == 0 && stop_.load()) return Unavailable("the verification was interrupted");
    CheckRecord(AsView(range->key()), AsView(range->value()));
  }
  if (range->status().IsCorruption()) {
    Differs(range->status().ToString() + "; records behind it were not looked at");
    return OkStatus();
  }
  return FromRocks(range->status(), "reading records");
}

void Verifier::CheckRecord(std::string_view bytes, std::string_view value) {
  ScopedKey key;
  StoredRecord stored;
  if (!ScopedKey::FromBytes(bytes, &key)) return Differs("a record's key cannot be read: " + ToHex(bytes));
  if (const Status status = DecodeRecord(key, value, RecordParts::kAll, &stored); !status.ok())
    return Differs("the record of " + NameOf(key) + ": " + status.message());
  if (IsRemoved(stored.record.expires_at_ms)) return;
  ++report_.records;
  for (const IndexEntry& entry : IndexEntriesOf(key, stored)) {
    rocksdb::PinnableSlice found;
    if (!Find(entry.family, entry.key, &found)) {
      Differs("the record of " + NameOf(key) + " has no entry in the index '" + std::string(NameOf(entry.family)) +
              "'");
      continue;
    }
    ++wanted_[static_cast<size_t>(entry.family)];
    if (AsView(found) != entry.value)
      Differs("the index '" + std::string(NameOf(entry.family)) + "' says something else than the record of " +
              NameOf(key));
  }
  CheckBody(key, stored.request_body, stored.record.id, BodyPart::kRequest);
  CheckBody(key, stored.response_body, stored.record.id, BodyPart::kResponse);
}

void Verifier::CheckBody(const ScopedKey& key, const BodyRef& ref, const RecordId& id, BodyPart part) {
  if (!ref.apart) return;
  const std::string what = part == BodyPart::kRequest ? "request" : "response";
  rocksdb::PinnableSlice body;
  if (!Find(Family::kBodies, BodyKey(ref.until_ms, id, part), &body))
    return Differs("the body of the " + what + " of " + NameOf(key) + " is missing");
  ++wanted_[static_cast<size_t>(Family::kBodies)];
  if (body.size() != ref.size || Crc32c(AsView(body)) != ref.checksum)
    Differs("the body of the " + what + " of " + NameOf(key) + " is not what was written");
}

Status Verifier::CheckIndex(Family family, ExpiresAtFunction expires_at) {
  uint64_t found = 0;
  for (const bool each : {false, true}) {
    // The second time only if there are more than records ask for.
    if (each && found == wanted_[static_cast<size_t>(family)]) break;
    Database::Range range = database_.Scan(family, {}, {}, snapshot_);
    uint64_t visited = 0;
    for (range->SeekToFirst(); range->Valid(); range->Next()) {
      if (++visited % kVisitedBetweenStops == 0 && stop_.load()) return Unavailable("the verification was interrupted");
      int64_t expires_at_ms = 0;
      const bool readable = expires_at(AsView(range->key()), AsView(range->value()), &expires_at_ms);
      if (readable && IsRemoved(expires_at_ms)) continue;
      if (!each) ++found;
      if (each) CheckOwner(family, AsView(range->key()), AsView(range->value()));
    }
    if (range->status().IsCorruption()) {
      Differs(range->status().ToString());
      break;
    }
    if (!range->status().ok()) return FromRocks(range->status(), "reading an index");
  }
  report_.index_entries += found;
  return OkStatus();
}

void Verifier::CheckOwner(Family family, std::string_view entry, std::string_view value) {
  const std::string name(NameOf(family));
  ScopedKey key;
  if (!OwnerOf(family, entry, &key))
    return Differs("an entry of the index '" + name + "' cannot be read: " + ToHex(entry));
  rocksdb::PinnableSlice bytes;
  StoredRecord stored;
  if (!Find(Family::kRecords, key.bytes(), &bytes))
    return Differs("the index '" + name + "' has an entry for " + NameOf(key) + ", of which there is no record");
  if (!DecodeRecord(key, AsView(bytes), RecordParts::kAll, &stored).ok()) return;  // was said already
  const std::vector<IndexEntry> entries = IndexEntriesOf(key, stored);
  const bool asked_for = std::any_of(entries.begin(), entries.end(), [&](const IndexEntry& own) {
    return own.family == family && own.key == entry && own.value == value;
  });
  if (!asked_for)
    Differs("the index '" + name + "' has an entry for " + NameOf(key) + " that its record does not ask for");
}

Status Verifier::CountBodies() {
  Database::Range range = database_.Scan(Family::kBodies, TimeBound(removed_until_ms_ + 1), {}, snapshot_);
  uint64_t found = 0;
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (++found % kVisitedBetweenStops == 0 && stop_.load()) return Unavailable("the verification was interrupted");
  }
  if (range->status().IsCorruption())
    Differs(range->status().ToString());
  else if (!range->status().ok())
    return FromRocks(range->status(), "reading bodies");
  report_.bodies = wanted_[static_cast<size_t>(Family::kBodies)];
  report_.leftover_bodies = found > report_.bodies ? found - report_.bodies : 0;
  return OkStatus();
}

Status Verifier::ReadAll(Family family) {
  Database::Range range = database_.Scan(family, {}, {}, snapshot_);
  uint64_t visited = 0;
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (++visited % kVisitedBetweenStops == 0 && stop_.load()) return Unavailable("the verification was interrupted");
  }
  if (!range->status().IsCorruption()) return FromRocks(range->status(), "reading the store");
  Differs(range->status().ToString());
  return OkStatus();
}

// With the lock of cleanups held nothing is removed meanwhile that was not before.
Result<VerifyReport> RocksDbStore::Verify() {
  // In this order, as cleanups do: who waits for the lock must not be in the way of a repair.
  const std::lock_guard lock(cleanup_mu_);
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  const int64_t begun_ms = clock_.SteadyMs();
  Result<VerifyReport> report = Verifier(*database_, counts_.removed_until_ms(), interrupt_).Run();
  if (!report.ok()) return report.status();
  report->duration_ms = clock_.SteadyMs() - begun_ms;
  return report;
}

}  // namespace oncegate::store

#include "store_scan.h"

#include <rocksdb/write_batch.h>

#include <array>
#include <map>
#include <set>
#include <utility>

#include "base/hash.h"
#include "store/bytes.h"
#include "store/database.h"
#include "store/keys.h"
#include "store/transition.h"

namespace oncegate {
namespace {

using store::Family;
using Entries = std::map<std::string, std::string>;

// Puts what a batch puts into maps by family.
class Collector final : public rocksdb::WriteBatch::Handler {
 public:
  Collector(store::Database& database, std::map<Family, Entries>* entries) : database_(database), entries_(entries) {}

  rocksdb::Status PutCF(uint32_t id, const rocksdb::Slice& key, const rocksdb::Slice& value) override {
    for (const Family family : store::kExpiringFamilies) {
      if (database_.Handle(family)->GetID() == id) (*entries_)[family][key.ToString()] = value.ToString();
    }
    return rocksdb::Status::OK();
  }

 private:
  store::Database& database_;
  std::map<Family, Entries>* entries_;
};

class Scanner {
 public:
  Scanner(store::Database& database, int64_t now_ms) : database_(database), now_ms_(now_ms) {}

  StoreScan Run() {
    ReadRemovedUntil();
    for (const auto& [key, value] : All(Family::kRecords)) AddRecord(key, value);
    Compare("open", Family::kOpen, store::ExpiresAtOfValue);
    Compare("created", Family::kCreated, store::ExpiresAtOfValue);
    Compare("labels", Family::kLabels, store::ExpiresAtOfValue);
    Compare("expiry", Family::kExpiry, store::ExpiresAtOfTimeKey);
    CompareBodies();
    for (const auto& [key, value] : All(Family::kReplays)) {
      if (!IsRemoved(store::ExpiresAtOfValue, key, value) && !replays_.contains(key))
        Damage("a count of replays has no record: " + ToHex(key));
    }
    return std::move(scan_);
  }

 private:
  void Damage(std::string sentence) { scan_.damage.push_back(std::move(sentence)); }

  void ReadRemovedUntil() {
    rocksdb::PinnableSlice value;
    const Result<bool> found = database_.Get(Family::kDefault, store::kRemovedUntilKey, &value);
    if (!found.ok()) Damage(found.status().message());
    if (found.ok() && *found) removed_until_ms_ = store::Reader(store::AsView(value)).Time();
  }

  Entries All(Family family) {
    Entries entries;
    store::Database::Range range = database_.Scan(family, {}, {});
    for (range->SeekToFirst(); range->Valid(); range->Next())
      entries[range->key().ToString()] = range->value().ToString();
    if (!range->status().ok()) Damage(range->status().ToString());
    return entries;
  }

  void AddRecord(const std::string& bytes, const std::string& value) {
    ScopedKey key;
    store::StoredRecord stored;
    if (!ScopedKey::FromBytes(bytes, &key)) return Damage("a record's key cannot be read: " + ToHex(bytes));
    if (Status status = store::DecodeRecord(key, value, RecordParts::kAll, &stored); !status.ok())
      return Damage(status.message());
    const Record& record = stored.record;
    if (record.expires_at_ms <= removed_until_ms_) return;
    Count(record);
    rocksdb::WriteBatch batch;
    store::AppendTransition({.key = key, .after = &stored, .request_body = {}, .response_body = {}}, database_, &batch);
    Collector collector(database_, &expected_);
    (void)batch.Iterate(&collector);
    if (stored.request_body.apart)
      bodies_.insert(store::BodyKey(stored.request_body.until_ms, record.id, store::BodyPart::kRequest));
    if (stored.response_body.apart)
      bodies_.insert(store::BodyKey(stored.response_body.until_ms, record.id, store::BodyPart::kResponse));
    replays_.insert(store::ReplaysKey(key, record.id));
  }

  void Count(const Record& record) {
    if (record.expires_at_ms <= now_ms_)
      ++scan_.expired;
    else if (record.state == RecordState::kInProgress)
      ++scan_.in_progress;
    else if (record.state == RecordState::kCompleted)
      ++scan_.completed;
    else
      ++scan_.unknown;
  }

  bool IsRemoved(store::ExpiresAtFunction expires_at, const std::string& key, const std::string& value) {
    int64_t expires_at_ms = 0;
    if (expires_at(key, value, &expires_at_ms)) return expires_at_ms <= removed_until_ms_;
    Damage("an entry cannot be read: " + ToHex(key));
    return true;
  }

  void Compare(const std::string& name, Family family, store::ExpiresAtFunction expires_at) {
    const Entries found = All(family);
    for (const auto& [key, value] : found) {
      if (IsRemoved(expires_at, key, value)) continue;
      const auto entry = expected_[family].find(key);
      if (entry == expected_[family].end())
        Damage("an entry of " + name + " has no record: " + ToHex(key));
      else if (entry->second != value)
        Damage("an entry of " + name + " says something else than its record: " + ToHex(key));
    }
    for (const auto& [key, value] : expected_[family]) {
      if (!found.contains(key)) Damage("a record has no entry in " + name + ": " + ToHex(key));
    }
  }

  void CompareBodies() {
    const Entries found = All(Family::kBodies);
    for (const auto& [key, value] : found) {
      if (!IsRemoved(store::ExpiresAtOfTimeKey, key, value) && !bodies_.contains(key))
        Damage("a body has no record: " + ToHex(key));
    }
    for (const std::string& key : bodies_) {
      if (!found.contains(key)) Damage("a record's body is missing: " + ToHex(key));
    }
  }

  store::Database& database_;
  const int64_t now_ms_;
  int64_t removed_until_ms_ = -1;
  StoreScan scan_;
  std::map<Family, Entries> expected_;
  std::set<std::string> bodies_;
  std::set<std::string> replays_;
};

}  // namespace

StoreScan ScanStore(const RocksDbStoreOptions& options, int64_t now_ms) {
  RocksDbStoreOptions reading = options;
  reading.read_only = true;
  Result<std::unique_ptr<store::Database>> database = store::Database::Open(reading, {}, nullptr);
  if (!database.ok()) return {.damage = {database.status().message()}};
  return Scanner(**database, now_ms).Run();
}

std::vector<std::string> DifferencesOf(const StoreStats& stats, const StoreScan& scan) {
  std::vector<std::string> differences;
  const auto compare = [&](const char* name, uint64_t counted, uint64_t found) {
    if (counted != found)
      differences.push_back("the statistics say " + std::to_string(counted) + " " + name + " where there are " +
                            std::to_string(found));
  };
  compare("in progress", stats.in_progress, scan.in_progress);
  compare("completed", stats.completed, scan.completed);
  compare("unknown", stats.unknown, scan.unknown);
  compare("expired", stats.expired, scan.expired);
  compare("active", stats.active, scan.in_progress + scan.completed + scan.unknown);
  return differences;
}

}  // namespace oncegate

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/codec.h"
#include "store/database.h"
#include "store/record_counts.h"

namespace oncegate::store {

// A change of one key from one record to another; null stands for none. The only way in which records are written, so
// that a record and what the indexes say of it cannot part.
struct Transition {
  const ScopedKey& key;
  const StoredRecord* before = nullptr;
  const StoredRecord* after = nullptr;
  // Bodies to be written to the places that `after` names; those not given are there already.
  std::optional<std::string> request_body;
  std::optional<std::string> response_body;
};

// What a call has decided to write. Holds as long as the key's shard is locked.
struct Change {
  explicit Change(const ScopedKey& key)
      : transition{.key = key, .before = nullptr, .after = nullptr, .request_body = {}, .response_body = {}} {}
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  [[nodiscard]] bool is_wanted() const { return transition.after != nullptr; }

  std::optional<StoredRecord> before;
  std::optional<StoredRecord> after;
  Transition transition;  // from the one to the other
};

// An entry that follows from a record alone.
struct IndexEntry {
  Family family;
  std::string key;
  std::string value;
};
std::vector<IndexEntry> IndexEntriesOf(const ScopedKey& key, const StoredRecord& stored);

// Adds the record, its index entries and bodies to the batch, and takes out those of the record before it. REQUIRES:
// the lock of the key's shard, held until the batch is written, or that nobody else uses the store.
void AppendTransition(const Transition& transition, Database& database, rocksdb::WriteBatch* batch);

// Makes the counts what they are after the transition. To be called once it is written.
void CountTransition(const Transition& transition, RecordCounts* counts);

CountKey CountKeyOf(const StoredRecord& stored);

}  // namespace oncegate::store

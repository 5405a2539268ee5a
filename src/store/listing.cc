#include <algorithm>

#include "base/hash.h"
#include "store/bytes.h"
#include "store/crc32c.h"
#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// Index entries that are looked at for one page: a filter that matches little must not hold a thread for long.
constexpr size_t kVisitedMax = 10'000;

// A cursor is the place of the last entry looked at, with a checksum before it: hex of checksum:u32 created_key.
std::string MakeCursor(std::string_view place) {
  std::string bytes;
  PutBig(&bytes, Crc32c(place));
  bytes.append(place);
  return ToHex(bytes);
}

Result<std::string> ParseCursor(const std::string& cursor) {
  std::string bytes;
  if (cursor.empty()) return bytes;
  CreatedEntry entry;
  if (FromHex(cursor, &bytes)) {
    Reader reader(bytes);
    const auto checksum = reader.Big<uint32_t>();
    if (reader.ok() && checksum == Crc32c(reader.rest()) && ParseCreatedKey(reader.rest(), &entry))
      return std::string(reader.rest());
  }
  return InvalidArgument("the cursor is not one that a listing gave");
}

// The least string after all that begin with `prefix`; empty: there is none.
std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

}  // namespace

struct RocksDbStore::ListQuery {
  const ListFilter& filter;
  std::string before;  // only places below this one; empty: all
  size_t limit;
  int64_t now_ms;
  std::optional<uint32_t> type_id;

  // Whether the record may be wanted, by what its index entry says.
  [[nodiscard]] bool MayMatch(const ScopedKey& key, const Summary& summary) const {
    if (summary.expires_at_ms <= now_ms) return false;
    if (!filter.scope.empty() && key.scope() != filter.scope) return false;
    if (!key.key().starts_with(filter.prefix)) return false;
    if (filter.state && summary.state != *filter.state) return false;
    // Types beyond the dictionary's bound share a number; only the record tells them apart.
    return filter.type.empty() || summary.type_id == TypeDictionary::kOtherTypes || summary.type_id == type_id;
  }

  [[nodiscard]] bool Matches(const Record& record) const {
    if (record.expires_at_ms <= now_ms) return false;
    if (filter.state && record.state != *filter.state) return false;
    if (!filter.type.empty() && record.type != filter.type) return false;
    return !filter.label || std::find(record.labels.begin(), record.labels.end(), *filter.label) != record.labels.end();
  }
};

Result<RecordPage> RocksDbStore::List(const ListFilter& filter, const std::string& cursor, size_t limit) {
  const Access access(*this);
  if (!access.status().ok()) return access.status();
  if (limit < 1 || limit > kListLimitMax)
    return InvalidArgument("the limit of a listing is 1 to " + std::to_string(kListLimitMax));
  Result<std::string> before = ParseCursor(cursor);
  if (!before.ok()) return before.status();
  const ListQuery query{.filter = filter,
                        .before = std::move(*before),
                        .limit = limit,
                        .now_ms = NowMs(),
                        .type_id = types_.Find(filter.type)};
  EndLeases();
  RecordPage page;
  // Open records are few, as a rule, and have an index of their own, which is not by time.
  if (filter.state && *filter.state != RecordState::kCompleted && !filter.label) {
    Result<bool> listed = ListOpen(query, &page);
    if (!listed.ok()) return listed.status();
    if (*listed) return page;
  }
  if (Status status = ListIndex(query, &page); !status.ok()) return status;
  return page;
}

Status RocksDbStore::ListIndex(const ListQuery& query, RecordPage* page) {
  const auto& label = query.filter.label;
  const std::string prefix = label ? LabelPrefix(label->first, label->second) : std::string();
  Database::Range range = database_->Scan(label ? Family::kLabels : Family::kCreated, prefix,
                                          query.before.empty() ? EndOfPrefix(prefix) : prefix + query.before);
  size_t visited = 0;
  std::string place;
  for (range->SeekToLast(); range->Valid(); range->Prev()) {
    if (page->records.size() == query.limit || visited == kVisitedMax) {
      page->next_cursor = MakeCursor(place);
      break;
    }
    ++visited;
    place = AsView(range->key()).substr(prefix.size());
    if (Status status = Visit(query, place, AsView(range->value()), page); !status.ok()) return status;
  }
  return database_->Note(FromRocks(range->status(), "listing records"));
}

Result<bool> RocksDbStore::ListOpen(const ListQuery& query, RecordPage* page) {
  std::vector<std::pair<std::string, std::string>> places;  // and their summaries
  size_t visited = 0;
  Database::Range range = database_->Scan(Family::kOpen, {}, {});
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    if (++visited > kVisitedMax) return false;  // too many to be sorted for every page
    ScopedKey key;
    Summary summary;
    if (!ScopedKey::FromBytes(AsView(range->key()), &key) || !DecodeSummary(AsView(range->value()), &summary))
      return Corruption("an entry of the index of open claims cannot be read");
    std::string place = CreatedKey(summary.created_at_ms, key);
    if (query.MayMatch(key, summary) && (query.before.empty() || place < query.before))
      places.emplace_back(std::move(place), range->value().ToString());
  }
  if (!range->status().ok()) return database_->Note(FromRocks(range->status(), "listing records"));
  std::sort(places.begin(), places.end(), std::greater<>());
  for (size_t i = 0; i < places.size(); ++i) {
    if (page->records.size() == query.limit) {
      page->next_cursor = MakeCursor(places[i - 1].first);
      break;
    }
    if (Status status = Visit(query, places[i].first, places[i].second, page); !status.ok()) return status;
  }
  return true;
}

Status RocksDbStore::Visit(const ListQuery& query, std::string_view place, std::string_view value, RecordPage* page) {
  CreatedEntry entry;
  Summary summary;
  if (!ParseCreatedKey(place, &entry) || !DecodeSummary(value, &summary))
    return Corruption("an index entry cannot be read");
  if (!query.MayMatch(entry.key, summary)) return OkStatus();
  Result<Found> found = Load(entry.key, RecordParts::kAll);
  if (found.status().code() == StatusCode::kCorruption) {
    // A damaged record must not hide the others from the operator who looks for it.
    logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency listing",
                {{"key", entry.key.key()}, {"scope", entry.key.scope()}, {"reason", found.status().message()}});
    return OkStatus();
  }
  if (!found.ok()) return found.status();
  // The key may have been forgotten or claimed again since the index was read.
  if (!*found || (*found)->record.created_at_ms != entry.created_at_ms) return OkStatus();
  Record& record = (*found)->record;
  if (!query.Matches(record)) return OkStatus();
  HideFormerOutcome(&record);
  if (record.response) record.response->body.clear();
  if (record.request) record.request->body.clear();
  if (Status status = LoadReplays(&record); !status.ok()) return status;
  page->records.push_back(std::move(record));
  return OkStatus();
}

}  // namespace oncegate::store

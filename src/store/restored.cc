#include "store/restored.h"

#include <algorithm>

#include "base/units.h"
#include "store/bytes.h"
#include "store/codec.h"
#include "store/store_impl.h"

namespace oncegate::store {

std::string EncodeRestoredMark(const RestoredMark& mark) {
  std::string out;
  PutBig(&out, kValueVersion);
  PutTime(&out, mark.taken_at_ms);
  PutTime(&out, mark.restored_at_ms);
  PutTime(&out, mark.started_at_ms);
  return out;
}

bool DecodeRestoredMark(std::string_view value, RestoredMark* mark) {
  Reader reader(value);
  const auto version = reader.Big<uint8_t>();
  mark->taken_at_ms = reader.Time();
  mark->restored_at_ms = reader.Time();
  mark->started_at_ms = reader.Time();
  return reader.ok() && version == kValueVersion;
}

Status RocksDbStore::NoteRemembered(int64_t ttl_ms) {
  if (ttl_ms <= remembered_ms_.load()) return OkStatus();
  std::string value;
  PutTime(&value, ttl_ms);
  rocksdb::WriteBatch batch;
  (void)batch.Put(AsSlice(kRememberedKey), value);
  const std::lock_guard lock(remembered_mu_);
  if (ttl_ms <= remembered_ms_.load()) return OkStatus();
  Status status = database_->Write(&batch);
  if (status.ok()) remembered_ms_.store(ttl_ms);
  return status;
}

Status RocksDbStore::StartRestored() {
  rocksdb::PinnableSlice value;
  Result<bool> found = database_->Get(Family::kDefault, kRememberedKey, &value);
  if (!found.ok()) return found.status();
  if (*found) remembered_ms_.store(Reader(AsView(value)).Time());
  value.Reset();
  found = database_->Get(Family::kDefault, kRestoredKey, &value);
  if (!found.ok()) return found.status();
  if (!*found) {
    if (options_.restored)
      logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "--restored has no effect: the store is not a restored one", {});
    return OkStatus();
  }
  RestoredMark mark;
  if (!DecodeRestoredMark(AsView(value), &mark)) return Corruption("the mark of a restored store cannot be read");
  const std::string taken_at = FormatRfc3339(mark.taken_at_ms);
  if (!options_.restored)
    return InvalidArgument("the data directory " + options_.directory + " was restored from a backup of " + taken_at +
                           " and has forgotten what was claimed since: start with --restored hold (only known keys are "
                           "answered) or --restored accept (new keys are executed, marked as possible duplicates)");
  // Only from here on can it be known that nobody else executes: the one that was backed up may have run until now.
  if (mark.started_at_ms == 0) {
    mark.started_at_ms = NowMs();
    rocksdb::WriteBatch batch;
    (void)batch.Put(AsSlice(kRestoredKey), EncodeRestoredMark(mark));
    if (Status status = database_->Write(&batch); !status.ok()) return status;
  }
  // Whatever ttl this start is told, what was forgotten may have been claimed with a longer one.
  const int64_t window_ms = std::max(remembered_ms_.load(), options_.remembered_ms);
  restored_ = {.policy = *options_.restored,
               .taken_at_ms = mark.taken_at_ms,
               .until_ms = StoredTime::After(mark.started_at_ms, window_ms)};
  EndRestored();
  if (!Restored()) return OkStatus();
  logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "the store was restored from a backup",
              {{"restored", restored_->policy == RestoredPolicy::kHold ? "hold" : "accept"},
               {"taken_at", std::string_view(taken_at)},
               {"until", std::string_view(FormatRfc3339(restored_->until_ms))}});
  return OkStatus();
}

std::optional<RestoredState> RocksDbStore::Restored() const {
  if (!restored_ || NowMs() >= restored_->until_ms) return std::nullopt;
  return restored_;
}

void RocksDbStore::EndRestored() {
  if (!restored_ || restored_mark_gone_ || NowMs() < restored_->until_ms) return;
  rocksdb::WriteBatch batch;
  (void)batch.Delete(AsSlice(kRestoredKey));
  restored_mark_gone_ = database_->Write(&batch).ok();  // if not, the next attempt may work
  if (restored_mark_gone_)
    logger_.Log(LogLevel::kInfo, LogEvent::kWarning,
                "the restored store is one like any other now: what it may have forgotten has expired", {});
}

}  // namespace oncegate::store

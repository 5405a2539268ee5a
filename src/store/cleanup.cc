#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/thread_name.h"
#include "store/bytes.h"
#include "store/keys.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// How often the store's time is saved: after a crash it starts at most this much before where it was, if the calendar
// clock was set back meanwhile.
constexpr int64_t kSaveTimeIntervalMs = 10'000;

}  // namespace

Status RocksDbStore::SaveTime() {
  std::string time;
  PutTime(&time, NowMs());
  rocksdb::WriteBatch batch;
  (void)batch.Put(AsSlice(kStoredTimeKey), time);
  return database_->Write(&batch);
}

Result<CleanupReport> RocksDbStore::Cleanup() {
  return RunCleanup(CleanupKind::kEverything);
}

CleanupTotals RocksDbStore::Cleanups() const {
  const std::lock_guard lock(totals_mu_);
  CleanupTotals totals = totals_;
  totals.background_errors += database_->background_errors();
  return totals;
}

Result<CleanupReport> RocksDbStore::RunCleanup(CleanupKind kind) {
  if (database_->read_only()) return Unavailable("the store was opened for reading only");
  const std::lock_guard lock(cleanup_mu_);
  Result<CleanupReport> report = CleanUpWhenCounted(kind);
  LogCleanup(kind, report);
  const std::lock_guard totals_lock(totals_mu_);
  ++totals_.runs;
  totals_.last_run_at_ms = NowMs();
  totals_.last_error = report.status().message();
  if (report.ok()) {
    totals_.last_success_at_ms = totals_.last_run_at_ms;
    totals_.removed_total += report->removed;
    totals_.rewritten_total += report->rewritten;
    totals_.bytes_reclaimed_total += report->bytes_reclaimed;
  }
  return report;
}

Result<CleanupReport> RocksDbStore::CleanUpWhenCounted(CleanupKind kind) {
  for (;;) {
    if (!WaitUntilCounted()) return Unavailable("the store is being closed");
    const Access access(*this);
    if (!access.status().ok()) return access.status();
    {
      const std::lock_guard lock(thread_mu_);
      if (!counted_) continue;  // the database has been exchanged since
    }
    return CleanUp(kind);
  }
}

// The order matters. The index stops counting before the filter may drop: so nothing is dropped that is still counted,
// and what a compaction drops by itself in between is what this run is about to drop anyway.
Result<CleanupReport> RocksDbStore::CleanUp(CleanupKind kind) {
  const int64_t started_at_ms = clock_.SteadyMs();
  const int64_t cutoff_ms = NowMs();
  CleanupReport report;
  Result<uint64_t> removed = TakeOutExpired(cutoff_ms);
  if (!removed.ok()) return removed.status();
  report.removed = *removed;
  database_->filter_cutoff().store(cutoff_ms);
  if (kind == CleanupKind::kEverything || MemtableIsWorthFlushing(*removed)) {
    if (Status status = FlushFamilies(); !status.ok()) return status;
  }
  Compactor compactor(*database_, interrupt_);
  const uint64_t bytes_before = compactor.LiveBytes();
  const double share_min = kind == CleanupKind::kEverything ? 0 : Compactor::kPeriodicShareMin;
  if (Status status = compactor.Run(cutoff_ms, share_min); !status.ok()) return status;
  report.rewritten = compactor.rewritten();
  const uint64_t bytes_after = compactor.LiveBytes();
  report.bytes_reclaimed = bytes_before > bytes_after ? bytes_before - bytes_after : 0;
  report.duration_ms = clock_.SteadyMs() - started_at_ms;
  return report;
}

// Entries below the mark are not deleted one by one: a seek would have to step over each deletion. They are no longer
// looked at, and go with the files that they are in.
Result<uint64_t> RocksDbStore::TakeOutExpired(int64_t cutoff_ms) {
  const WriteGate::Closure closure(gate_);
  Result<std::vector<CountKey>> in_last_second = LastSecond(cutoff_ms);
  if (!in_last_second.ok()) return in_last_second.status();
  std::string time;
  PutTime(&time, cutoff_ms);
  rocksdb::WriteBatch batch;
  (void)batch.Put(AsSlice(kRemovedUntilKey), time);
  // With it, so that time cannot start again before the mark.
  (void)batch.Put(AsSlice(kStoredTimeKey), time);
  if (Status status = database_->Write(&batch); !status.ok()) return status;
  return counts_.RemoveUntil(cutoff_ms, *in_last_second);
}

// Expired data in memory costs no disk but the log's. A periodic cleanup only flushes once about half of what a
// memtable holds must have expired, so that a quiet store is not cut into ever more small files.
bool RocksDbStore::MemtableIsWorthFlushing(uint64_t removed) {
  removed_since_flush_ += removed;
  uint64_t in_memory = 0;
  (void)database_->db().GetIntProperty(database_->Handle(Family::kRecords),
                                       rocksdb::DB::Properties::kNumEntriesActiveMemTable, &in_memory);
  return in_memory > 0 && removed_since_flush_ >= in_memory / 2 && removed_since_flush_ > 0;
}

Status RocksDbStore::FlushFamilies() {
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  // All of them: a log is only deleted once no family needs it.
  for (size_t i = 0; i < kFamilyCount; ++i) handles.push_back(database_->Handle(static_cast<Family>(i)));
  removed_since_flush_ = 0;
  return FromRocks(database_->db().Flush(rocksdb::FlushOptions(), handles), "flushing memtables");
}

void RocksDbStore::LogCleanup(CleanupKind kind, const Result<CleanupReport>& report) {
  if (!report.ok()) {
    logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency cleanup",
                {{"reason", report.status().message()}});
    return;
  }
  const bool notable = kind == CleanupKind::kEverything || report->removed > 0;
  logger_.Log(notable ? LogLevel::kInfo : LogLevel::kDebug, LogEvent::kCleanupCompleted,
              "idempotency cleanup completed",
              {{"removed", static_cast<int64_t>(report->removed)},
               {"rewritten", static_cast<int64_t>(report->rewritten)},
               {"bytes_reclaimed", static_cast<int64_t>(report->bytes_reclaimed)},
               {"ms", report->duration_ms}});
}

// Of work that no caller is told about.
void RocksDbStore::CountInBackground(const Status& status) {
  if (status.ok() || stop_.load()) return;  // a store that is being closed interrupts itself
  const std::lock_guard lock(totals_mu_);
  ++totals_.background_errors;
}

// The reaper's thread: saves the time and cleans up, each when it is due. It waits by the machine's clock, because
// nothing depends on when exactly it wakes.
void RocksDbStore::Reap() {
  NameThisThread("reaper");
  // Linux has priorities of threads; compactions of files run in this one. Replays come first.
  constexpr int kNice = 10;
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
  const int64_t cleanup_ms = options_.cleanup_interval_ms;
  const int64_t wait_ms = cleanup_ms > 0 ? std::min(cleanup_ms, kSaveTimeIntervalMs) : kSaveTimeIntervalMs;
  int64_t saved_at_ms = clock_.SteadyMs();
  int64_t cleaned_at_ms = saved_at_ms;
  std::unique_lock lock(thread_mu_);
  while (!stop_.load()) {
    thread_wake_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stop_.load(); });
    if (stop_.load()) return;
    lock.unlock();
    const int64_t now_ms = clock_.SteadyMs();
    if (now_ms - saved_at_ms >= kSaveTimeIntervalMs) {
      const Access access(*this);
      if (access.status().ok()) {
        CountInBackground(SaveTime());  // the next one may work; a store that cannot write says so elsewhere
        CountInBackground(database_->UpdateCompactionRest(now_ms));
        EndRestored();
        EndLeases();
      }
      saved_at_ms = now_ms;
    }
    if (cleanup_ms > 0 && now_ms - cleaned_at_ms >= cleanup_ms) {
      CountInBackground(RunCleanup(CleanupKind::kPeriodic).status());  // logged and kept in the totals
      cleaned_at_ms = now_ms;
    }
    lock.lock();
  }
}

void RocksDbStore::Interrupt() {
  stop_.store(true);
  interrupt_.store(true);
  backups_.Interrupt();
  {
    const std::lock_guard lock(thread_mu_);
    thread_wake_.notify_all();
  }
  const std::lock_guard lock(repair_mu_);
  repair_wake_.notify_all();
}

void RocksDbStore::StopThreads() {
  Interrupt();
  if (repairer_.joinable()) repairer_.join();  // first: it may start the others
  if (reaper_.joinable()) reaper_.join();
  if (counter_.joinable()) counter_.join();
}

}  // namespace oncegate::store

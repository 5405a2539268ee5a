#include <algorithm>

#include "base/thread_name.h"
#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// How long after an attempt at opening a database that refuses writes the next one is made, by the store's clock:
// kReopenIntervalMs, and twice as long after each that failed, up to this.
constexpr int64_t kReopenIntervalMsMax = 4000;

// How long calls wait while it is being opened, before they are told to come again; reads are made by threads that
// serve many connections. And how long opening it waits for the calls that are under way.
constexpr std::chrono::milliseconds kEnterWait{2000};
constexpr std::chrono::milliseconds kReadEnterWait{500};
constexpr std::chrono::milliseconds kNoWait{0};
constexpr std::chrono::milliseconds kCloseWait{5000};
// Claims that are taken back if they turn out to be on disk; more than the gateway has in flight.
constexpr size_t kDoubtedMax = 4096;

}  // namespace

RocksDbStore::Access::Access(RocksDbStore& store, Kind kind)
    : store_(store),
      entered_(store.access_.Enter(kind == kAny       ? kEnterWait
                                   : kind == kReading ? kReadEnterWait
                                                      : kNoWait)) {
  if (!entered_)
    status_ = Busy("the store is being opened again after a disk error");
  else if (!store.database_->is_open())
    status_ = Unavailable("the store could not be opened again after a disk error");
}

RocksDbStore::Access::~Access() {
  if (!entered_) return;
  store_.access_.Leave();
  if (!store_.database_->failing() || store_.repair_wanted_.exchange(true)) return;
  const std::lock_guard lock(store_.repair_mu_);
  store_.repair_wake_.notify_one();
}

// In a thread of its own: whoever notices that writes fail has connections to serve.
void RocksDbStore::RepairWhenWanted() {
  NameThisThread("repair");
  std::unique_lock lock(repair_mu_);
  for (;;) {
    repair_wake_.wait(lock, [this] { return stop_.load() || repair_wanted_.load(); });
    if (stop_.load()) return;
    repair_wanted_.store(false);
    lock.unlock();
    const int64_t now_ms = clock_.SteadyMs();
    if (!repaired_at_ms_ || now_ms - *repaired_at_ms_ >= repair_interval_ms_) {
      const bool failed = database_->failing() && !Repair();
      repair_interval_ms_ = failed ? std::min(2 * repair_interval_ms_, kReopenIntervalMsMax) : kReopenIntervalMs;
      repaired_at_ms_ = clock_.SteadyMs();
    }
    lock.lock();
  }
}

// RocksDB refuses writes for good after many errors of the disk, and after others although it says that it has resumed
// (its issues 11643 and 12998), or resumes but fails flushes (background_errors.h); opened again it works. Before the
// old database is given up, which still answers reads, the disk must have shown that it takes writes. False: everybody
// was kept out for nothing.
bool RocksDbStore::Repair() {
  if (!access_.Enter(kEnterWait)) return true;
  database_->RenewManifestIfInDoubt();
  const bool usable = database_->failing() && database_->DiskTakesWrites();
  access_.Leave();
  if (!usable) return true;
  // Cleanups, verifications and backups would keep everybody waiting.
  interrupt_.store(true);
  backups_.StopCurrent();
  const bool closed = access_.Close(kCloseWait);
  Status status;
  if (closed) {
    StopCounting();
    status = database_->Reopen();
    if (status.ok()) status = WithdrawDoubted();
    if (status.ok()) status = Recount();
    CountInBackground(status);
    LogRepair(status);
    access_.Open();
  }
  interrupt_.store(false);
  if (stop_.load()) interrupt_.store(true);  // Interrupt sets it first
  return closed && status.ok();
}

// A write that failed may be there after all, so that what was counted is not what is.
Status RocksDbStore::Recount() {
  counts_.Clear();
  if (Status status = ReadRemovedUntil(); !status.ok()) return status;
  if (Status status = CountOpen(); !status.ok()) return status;
  StartCounting();
  return OkStatus();
}

void RocksDbStore::Doubt(const ScopedKey& key, const Token& token) {
  const std::lock_guard lock(doubted_mu_);
  if (doubted_.size() < kDoubtedMax) doubted_.emplace_back(key, token);
}

// Whoever made them was told that they failed. Left there, they would count as executions whose outcome is unknown.
// Only first attempts are doubted: behind others there is an earlier one that may have been executed.
Status RocksDbStore::WithdrawDoubted() {
  const std::lock_guard lock(doubted_mu_);
  for (const auto& [key, token] : doubted_) {
    const Result<Found> found = Load(key, RecordParts::kAll);
    if (!found.ok() || !*found || (*found)->record.token != token) continue;
    rocksdb::WriteBatch batch;
    AppendTransition({.key = key, .before = &**found, .request_body = {}, .response_body = {}}, *database_, &batch);
    if (Status status = database_->Write(&batch); !status.ok()) return status;
  }
  doubted_.clear();
  return OkStatus();
}

void RocksDbStore::LogRepair(const Status& status) {
  if (status.ok())
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "the store was opened again after a disk error", {});
  else
    logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency store: it could not be opened again",
                {{"reason", status.message()}});
}

void RocksDbStore::StartCounting() {
  // Taken before anybody can write, so that what is written from now on is counted once: by whoever writes it.
  const rocksdb::Snapshot* snapshot = database_->db().GetSnapshot();
  {
    const std::lock_guard lock(thread_mu_);
    counted_ = false;
  }
  stop_counting_.store(false);
  counter_ = std::thread([this, snapshot] { CountInBackground(snapshot); });
}

void RocksDbStore::StopCounting() {
  stop_counting_.store(true);
  if (counter_.joinable()) counter_.join();
}

}  // namespace oncegate::store

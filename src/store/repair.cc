#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// How often a database that refuses writes is opened anew at most, by the store's clock.
constexpr int64_t kReopenIntervalMs = 1000;
// How long calls wait while it is being opened, before they are told to come again; and how long opening it waits for
// the calls that are under way.
constexpr std::chrono::milliseconds kEnterWait{2000};
constexpr std::chrono::milliseconds kCloseWait{5000};
// Claims that are taken back if they turn out to be on disk; more than the gateway has in flight.
constexpr size_t kDoubtedMax = 4096;

}  // namespace

RocksDbStore::Access::Access(RocksDbStore& store) : store_(store), entered_(store.access_.Enter(kEnterWait)) {
  if (!entered_)
    status_ = Unavailable("the store is being opened again after a disk error");
  else if (!store.database_->is_open())
    status_ = Unavailable("the store could not be opened again after a disk error");
}

RocksDbStore::Access::~Access() {
  if (!entered_) return;
  store_.access_.Leave();
  if (store_.database_->write_failing()) store_.Repair();
}

// RocksDB refuses writes for good after many errors of the disk, and after others although it says that it has resumed
// (its issues 11643 and 12998); opened again it works. The call that has failed does this, once it holds no lock any
// more, so that the next one succeeds. Before the old database is given up the disk must have shown that it takes
// writes: it still answers reads.
void RocksDbStore::Repair() {
  const std::unique_lock lock(repair_mu_, std::try_to_lock);
  if (!lock.owns_lock() || stop_.load() || !database_->write_failing()) return;
  const int64_t now_ms = clock_.SteadyMs();
  if (repaired_at_ms_ && now_ms - *repaired_at_ms_ < kReopenIntervalMs) return;
  repaired_at_ms_ = now_ms;
  if (!access_.Enter(kEnterWait)) return;
  const bool usable = database_->DiskTakesWrites();
  access_.Leave();
  if (!usable) return;
  interrupt_.store(true);  // a cleanup would keep everybody waiting
  if (access_.Close(kCloseWait)) {
    StopCounting();
    Status status = database_->Reopen();
    if (status.ok()) status = WithdrawDoubted();
    if (status.ok()) status = Recount();
    LogRepair(status);
    access_.Open();
  }
  interrupt_.store(stop_.load());
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
    if (Status status = database_->Write(&batch, clock_); !status.ok()) return status;
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

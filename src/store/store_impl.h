#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/access_gate.h"
#include "store/backup_writer.h"
#include "store/compactor.h"
#include "store/database.h"
#include "store/lease_queue.h"
#include "store/platform.h"
#include "store/record_counts.h"
#include "store/rocksdb_store.h"
#include "store/stored_time.h"
#include "store/token_hints.h"
#include "store/transition.h"
#include "store/type_dictionary.h"
#include "store/write_gate.h"

// For the .cc files of this folder only.
namespace oncegate::store {

// The store on RocksDB. Calls for one key are made one after another under the lock of its shard, across the write, so
// that a decision holds until it is on disk; calls for different keys share RocksDB's group commit. There are no
// transactions: one process owns the directory.
class RocksDbStore final : public Store {
 public:
  RocksDbStore(const Platform& platform, const RocksDbStoreOptions& options, const Clock& clock, Logger& logger,
               std::unique_ptr<Database> database, int64_t saved_time_ms);
  ~RocksDbStore() override;

  // Reads the dictionary, settles what an earlier process left, and starts the threads. To be called once, first.
  Status Start();

  [[nodiscard]] int64_t NowMs() const override { return time_.NowMs(); }
  Result<std::optional<Record>> Get(const ScopedKey& key, RecordParts parts) override;
  std::shared_ptr<const KnownOutcome> Recall(const ScopedKey& key) override;
  Result<ClaimResult> Claim(const ClaimRequest& claim, const RequestFacts& facts) override;
  Status Complete(const ScopedKey& key, const Token& token, StoredResponse response) override;
  void CallTogether(std::vector<StoreCall>* calls) override;
  Status Release(const ScopedKey& key, const Token& token) override;
  Status MarkUnknown(const ScopedKey& key, const Token& token) override;
  Result<int64_t> Renew(const ScopedKey& key, const Token& token, int64_t lease_ms) override;
  Result<std::optional<ScopedKey>> FindToken(const Token& token) override;
  Result<Intervention> Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome, bool in_flight,
                               std::string_view by) override;
  Result<RedeliveryResult> Redeliver(const ScopedKey& key, bool force, std::string_view by) override;
  Status PutBack(const ScopedKey& key, const Redelivery& redelivery) override;
  Result<bool> Erase(const ScopedKey& key, bool force, bool in_flight) override;
  Status AddReplays(const std::vector<ReplayCount>& counts) override;
  Result<RecordPage> List(const ListFilter& filter, const std::string& cursor, size_t limit) override;
  Result<StoreStats> Stats() override;
  Result<CleanupReport> Cleanup() override;
  [[nodiscard]] CleanupTotals Cleanups() const override;
  Status CheckWritable() override;
  Result<ImportReport> Import(std::vector<Record> records) override;
  Result<BackupReport> Backup(const std::string& directory, uint32_t keep) override;
  Result<VerifyReport> Verify() override;
  void Interrupt() override;
  [[nodiscard]] std::optional<RestoredState> Restored() const override;

 private:
  using Found = std::optional<StoredRecord>;

  // A call's stay in the store, to be declared first in it: the database is not exchanged meanwhile. The call may go on
  // if `status` says so. If writes fail at its end, the database will be opened anew.
  class Access {
   public:
    enum Kind : uint8_t { kAtOnce, kReading, kAny };
    explicit Access(RocksDbStore& store, Kind kind = kAny);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
    [[nodiscard]] const Status& status() const { return status_; }

   private:
    RocksDbStore& store_;
    const bool entered_;
    Status status_;
  };

  // -- Reading (rocksdb_store.cc).
  // The record under a key, live or not, without bodies kept apart.
  Result<Found> Load(const ScopedKey& key, RecordParts parts);
  // Reads a body from its place. Corruption if it is not there or not what was written.
  Status LoadBody(const BodyRef& ref, const RecordId& id, BodyPart part, std::string* body);
  Status LoadBodies(StoredRecord* stored);
  Status LoadReplays(Record* record);
  // What Get returns, from the database.
  Result<Found> LoadLive(const ScopedKey& key, RecordParts parts);
  // A record that is being redelivered keeps its outcome for PutBack; nobody else is to see it.
  static void HideFormerOutcome(Record* record);
  bool IsLive(const Record& record, int64_t now_ms) const { return record.expires_at_ms > now_ms; }

  // -- Changing (claims.cc). All REQUIRE the key's shard lock.
  std::mutex& ShardOf(const ScopedKey& key);
  // What the call returns, provided that `change`, if one is wanted, gets written.
  Result<ClaimResult> PrepareClaim(const ClaimRequest& claim, const RequestFacts& facts, Change* change);
  Status PrepareCompletion(const ScopedKey& key, const Token& token, StoredResponse response, Change* change);
  void DoubtClaim(const ClaimRequest& claim, const Change& change);  // it could not be written
  // The live record that `token` claimed; Conflict if there is none.
  Result<StoredRecord> LoadClaim(const ScopedKey& key, const Token& token);
  Result<StoredRecord> MakeClaim(const ClaimRequest& claim, const RequestFacts& facts, uint32_t attempt,
                                 const StoredRecord* rerun, int64_t now_ms, Transition* transition);
  static std::optional<Claimed> Repeated(const ClaimRequest& claim, const Record& record);
  // Whether somebody executes the record's key; `in_flight`: whether a gateway does.
  static bool IsAlive(const Record& record, int64_t now_ms, bool in_flight);
  // What a record becomes with this outcome.
  Result<StoredRecord> MakeCompleted(const StoredRecord& before, StoredResponse response, Transition* transition);
  // Puts the request's body where it lives as long as `after` does.
  Status MoveRequestBody(const StoredRecord& before, StoredRecord* after, Transition* transition);
  // What a record becomes when its outcome is unknown.
  Result<StoredRecord> MakeUnknown(const StoredRecord& before, int64_t now_ms, Transition* transition);
  struct ImportBatch;
  Status ImportOne(Record record, int64_t now_ms, ImportBatch* batch);
  Status CheckSameOutcome(StoredRecord stored, const StoredResponse& response);
  Status EraseUnreadable(const ScopedKey& key);
  Status Commit(const Transition& transition);
  Status CheckSpace();
  class Together;  // together.cc
  void WriteTogether(Together* together);

  // -- Leases (leases.cc).
  void NoteLease(const Transition& transition);
  // Makes the claims unknown whose leases have ended, so that they are counted and listed as what they are.
  void EndLeases();
  Status EndLease(const ScopedKey& key);

  // -- Starting (recovery.cc).
  Status RecoverClaims();
  Status RecoverClaim(const ScopedKey& key, rocksdb::WriteBatch* batch);
  Status ReadRemovedUntil();
  Status CountOpen();
  // Counts the index of expiry times as it was in `snapshot`.
  Status CountExpiring(const rocksdb::Snapshot* snapshot);
  void CountInBackground(const rocksdb::Snapshot* snapshot);
  // False if the store is being closed instead.
  bool WaitUntilCounted();

  // -- Restored stores (restored.cc).
  Status StartRestored();
  // Keeps the longest time for which keys were ever to be remembered. To be called before a claim for that time.
  Status NoteRemembered(int64_t ttl_ms);
  // Takes the mark away when its time has passed.
  void EndRestored();

  // -- After errors of the disk (repair.cc).
  static constexpr int64_t kReopenIntervalMs = 1000;  // and longer after attempts that failed
  void RepairWhenWanted();
  bool Repair();
  Status Recount();
  // Remembers a claim that may be on disk although its write failed.
  void Doubt(const ScopedKey& key, const Token& token);
  // Takes back those that are: nobody acted on them.
  Status WithdrawDoubted();
  void LogRepair(const Status& status);
  void StartCounting();
  void StopCounting();

  // -- Statistics (statistics.cc).
  // The index's entries from the start of the second of `until_ms` to there.
  Result<std::vector<CountKey>> LastSecond(int64_t until_ms);
  void FillCounts(const RecordCounts::Tally& tally, StoreStats* stats);
  // For a store that is only read: counts at the first call, in the caller's thread.
  Status CountOnce();

  // -- Listing (listing.cc).
  struct ListQuery;
  // Adds the record that an index entry stands for to the page, if it is wanted.
  Status Visit(const ListQuery& query, std::string_view place, std::string_view summary, RecordPage* page);
  Status ListIndex(const ListQuery& query, RecordPage* page);
  // False, and the page as it was, if there are too many open records for this way.
  Result<bool> ListOpen(const ListQuery& query, RecordPage* page);

  // -- Cleaning up (cleanup.cc).
  enum class CleanupKind { kEverything, kPeriodic };
  Result<CleanupReport> RunCleanup(CleanupKind kind);
  void CountInBackground(const Status& status);
  Result<CleanupReport> CleanUpWhenCounted(CleanupKind kind);
  Result<CleanupReport> CleanUp(CleanupKind kind);
  Result<uint64_t> TakeOutExpired(int64_t cutoff_ms);
  Status FlushFamilies();
  bool MemtableIsWorthFlushing(uint64_t removed);
  void LogCleanup(CleanupKind kind, const Result<CleanupReport>& report);
  Status SaveTime();
  void Reap();
  void StopThreads();

  // Constant after Start.
  const Platform platform_;
  const RocksDbStoreOptions options_;
  const Clock& clock_;
  Logger& logger_;
  const std::unique_ptr<Database> database_;
  const StoredTime time_;
  std::optional<RestoredState> restored_;  // as it was then

  // Self-synchronised.
  TypeDictionary types_;
  RecordCounts counts_;
  LeaseQueue leases_;
  TokenHints tokens_;
  WriteGate gate_;
  AccessGate access_;
  BackupWriter backups_;
  // Enough that two keys in flight at once seldom share one.
  std::array<std::mutex, 1024> shards_;
  std::mutex replays_mu_;  // held by AddReplays, which alone writes the counts of replays
  std::atomic<int64_t> space_checked_at_ms_{INT64_MIN};
  std::atomic<bool> space_low_{false};

  bool restored_mark_gone_ = false;   // of the reaper, once it runs
  std::mutex cleanup_mu_;             // held during a cleanup
  uint64_t removed_since_flush_ = 0;  // guarded by cleanup_mu_
  mutable std::mutex totals_mu_;
  CleanupTotals totals_;  // guarded by totals_mu_

  std::mutex remembered_mu_;               // held while the next is written down
  std::atomic<int64_t> remembered_ms_{0};  // the longest ttl of any claim

  std::mutex repair_mu_;
  std::condition_variable repair_wake_;
  std::atomic<bool> repair_wanted_{false};
  std::optional<int64_t> repaired_at_ms_;           // of the repairing thread
  int64_t repair_interval_ms_ = kReopenIntervalMs;  // of the repairing thread
  std::mutex doubted_mu_;
  std::vector<std::pair<ScopedKey, Token>> doubted_;  // guarded by doubted_mu_; at most kDoubtedMax

  // The threads and what ends them.
  std::atomic<bool> stop_{false};
  std::atomic<bool> stop_counting_{false};
  std::atomic<bool> interrupt_{false};  // cleanups and verifications end early
  std::mutex thread_mu_;
  std::condition_variable thread_wake_;
  bool counted_ = false;  // guarded by thread_mu_: the counts hold everything that the index holds
  Status count_status_;   // guarded by thread_mu_
  std::thread counter_;
  std::thread reaper_;
  std::thread repairer_;
};

}  // namespace oncegate::store

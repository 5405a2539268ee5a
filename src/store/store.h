#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/store_types.h"

namespace oncegate {

// Remembers which keys were claimed and how they ended. The promise of the whole program rests on it: a call that
// returned OK is as durable as the store was opened to be, and a call that failed changed nothing, except where the
// method says "unclear".
//
// Thread-safe. Written so that a database for several nodes could implement it: every method is one atomic step on one
// key (or, where it takes several, on each); whoever settles a claim shows its token; nothing depends on locks held
// between calls.
//
// Time is "stored time": milliseconds that start at the later of the calendar clock and the last time saved, and then
// follow the steady clock, so that moving the calendar clock neither drops live keys nor keeps expired ones.
//
// Errors: Unavailable (disk error; a later call may work), Busy (soon a call will work), NoSpace, Corruption (the bytes
// read are not those written; the message names the file where it is known). Conflict only where said.
class Store {
 public:
  virtual ~Store() = default;

  [[nodiscard]] virtual int64_t NowMs() const = 0;

  // The live record of a key; nothing if it was never claimed, was released, or has expired, whatever is still on disk.
  virtual Result<std::optional<Record>> Get(const ScopedKey& key, RecordParts parts) = 0;

  // The outcome of a key if it happens to be in memory; never reads from the disk. It may have expired, which Decide()
  // sees. Null says nothing about the key.
  virtual std::shared_ptr<const KnownOutcome> Recall(const ScopedKey& key) = 0;

  // Decides (core/decide.h) on the key's record and, if the decision is Execute, claims the key: atomically with
  // respect to every other call for the same key. The claim, with the request, is durable on return.
  // REQUIRES for gateway claims: the caller is the only one in its process who may execute this key (it holds the
  // key's permit), so that a record in progress by a gateway has lost its owner.
  // On an error the claim may or may not be on disk (unclear). Nobody may act on it unless claim.acts_on_failure says
  // so. If it is there it is taken back once that is known, and found unknown if it may have been acted on, if the
  // process ended before, or if it was a second attempt.
  virtual Result<ClaimResult> Claim(const ClaimRequest& claim, const RequestFacts& facts) = 0;

  // Ends a claim. All return Conflict, and change nothing, if `token` no longer holds the key.
  // Complete: stores the outcome; the record expires ttl_ms (of the claim) from now. Durable on return.
  virtual Status Complete(const ScopedKey& key, const Token& token, StoredResponse response) = 0;
  // Release: forgets the key; the next delivery is executed as a first one.
  virtual Status Release(const ScopedKey& key, const Token& token) = 0;
  // MarkUnknown: the work may or may not have been done. Held records never expire; others after ttl_ms.
  virtual Status MarkUnknown(const ScopedKey& key, const Token& token) = 0;

  // Makes several calls of Claim and Complete, in this order, for the price of one: each is atomic for itself, and they
  // are made durable together, so that an error of the disk can fail them all.
  virtual void CallTogether(std::vector<StoreCall>* calls) = 0;

  // Renew: the lease of a sidecar claim ends lease_ms from now; says when that is. Conflict as for the endings, and
  // also once the lease has ended: those who waited were told so. Durable on return.
  virtual Result<int64_t> Renew(const ScopedKey& key, const Token& token, int64_t lease_ms) = 0;

  // The key whose live record bears this token of a sidecar claim; nothing if none does.
  virtual Result<std::optional<ScopedKey>> FindToken(const Token& token) = 0;

  // Settles a record whose outcome is unknown, by an operator's hand: with `outcome` it is completed, without it is
  // forgotten. Whoever claimed it holds it no longer. In flight is what is so for Erase. `by` is the operator's name,
  // for the record's history. Durable on return.
  virtual Result<Intervention> Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome, bool in_flight,
                                       std::string_view by) = 0;

  // Claims a record whose outcome is unknown, or with `force` one that is completed, to send its stored request again.
  // The claim is ended like others, or by PutBack. It goes into the record's history, under the name `by`. REQUIRES
  // what Claim does for gateway claims. Durable on return.
  virtual Result<RedeliveryResult> Redeliver(const ScopedKey& key, bool force, std::string_view by) = 0;
  // Ends a redelivery that has had no effect: the record is again as it was before. Conflict as for the endings.
  virtual Status PutBack(const ScopedKey& key, const Redelivery& redelivery) = 0;

  // Forgets a key by an operator's hand, whoever holds it. Conflict, and nothing changes, if a claim on it is alive and
  // `force` is false: by its lease, or, for gateway claims, if `in_flight` says so. True if there was a live record.
  virtual Result<bool> Erase(const ScopedKey& key, bool force, bool in_flight) = 0;

  // Adds to the (approximate) counts and times of replays. Keys without a live record are left alone, as are records
  // that are younger than the last of the replays and such as cannot be read.
  virtual Status AddReplays(const std::vector<ReplayCount>& counts) = 0;

  // A page of live records, newest first. `cursor` is empty or the next_cursor of the page before; a cursor that is
  // neither is InvalidArgument. A page may hold fewer than `limit` records and still have a next one: the work for one
  // page is bounded. 1 <= limit <= kListLimitMax.
  static constexpr size_t kListLimitMax = 1000;
  virtual Result<RecordPage> List(const ListFilter& filter, const std::string& cursor, size_t limit) = 0;

  // Answered from counters and the index of expiry times, however many records there are.
  virtual Result<StoreStats> Stats() = 0;

  // Removes what has expired now, all of it, and gives the disk space back. Calls are made one after another.
  virtual Result<CleanupReport> Cleanup() = 0;
  [[nodiscard]] virtual CleanupTotals Cleanups() const = 0;

  // Takes over records of another store or system: all of those whose key has no live record and that have not expired,
  // in one step, durable on return. Times are stored time. REQUIRES: each is completed or unknown, with a response if
  // completed; at most kImportMax. Ids are kept where there is one, tokens are not.
  static constexpr size_t kImportMax = 1000;
  virtual Result<ImportReport> Import(std::vector<Record> records) = 0;

  // Copies everything as it is at one moment into a directory for backups (created if absent), while calls go on. What
  // an earlier backup there has already is not copied again. With `keep` above 0 only so many newest ones remain.
  // InvalidArgument for a directory that holds something else, lies in the store, or cannot be one; Conflict while
  // another is made.
  virtual Result<BackupReport> Backup(const std::string& directory, uint32_t keep) = 0;

  // Reads everything and compares records, indexes and bodies with each other, both ways. OK if it could be read;
  // whether it is right is in the report. Cleanups wait meanwhile, other calls go on.
  virtual Result<VerifyReport> Verify() = 0;

  // For the end: cleanups, backups and verifications under way stop early and return Unavailable, and so do later ones.
  virtual void Interrupt() = 0;

  // OK if claims could be written now; else why not. Corruption once any call has met damage, until the store is opened
  // again: what else is damaged nobody knows.
  virtual Status CheckWritable() = 0;

  // Nothing: the store was not restored, or that is long ago.
  [[nodiscard]] virtual std::optional<RestoredState> Restored() const = 0;
};

}  // namespace oncegate

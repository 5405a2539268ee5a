#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "core/decide.h"
#include "core/record.h"

// What the calls of a Store (store.h) take and give.
namespace oncegate {

// How much of a record a reader wants. kReplay leaves out what only people look at (request, labels), and is what the
// replay lane asks for.
enum class RecordParts : uint8_t { kReplay, kAll };

// A claim to be made. The fields have the meaning of those of Record.
struct ClaimRequest {
  ScopedKey key;
  std::string type;
  ClaimOwner owner = ClaimOwner::kGateway;
  int64_t ttl_ms = 0;
  bool hold_unknown = true;
  int64_t lease_ms = 0;  // sidecar claims: how long the claim lives unrenewed
  LeaseExpiry on_lease_expiry = LeaseExpiry::kHold;
  // Sidecar claims: who repeats it while the claim is alive gets the same claim again. Empty: nobody does.
  std::string claim_id;
  std::string source_ip;
  Labels labels;
  std::optional<StoredRequest> request;
  // Until when the request's body is surely needed if all goes well, counted from now: the longest execution plus
  // ttl_ms. A hint for where the store puts the body; an unknown outcome keeps it longer by itself.
  int64_t request_body_needed_ms = 0;
  // The caller may execute the key even if the claim fails, so that the claim must stay if it turns out to be on disk.
  bool acts_on_failure = false;
};

// The claim was made: whoever holds the token may settle it.
struct Claimed {
  Token token{};
  uint32_t attempt = 1;
  RecordId id{};
  int64_t lease_expires_at_ms = kNever;
  bool possible_duplicate = false;  // the store was restored: the key may have been executed and forgotten
  bool repeated = false;            // it was made before, by the same claim_id
};

// The claim was not made: why, and the record that stands in the way (RecordParts::kReplay); an empty one if the
// decision is Held.
struct Refused {
  Decision decision;  // never Execute
  Record record;
};

using ClaimResult = std::variant<Claimed, Refused>;

// Calls of Claim and Complete to be made together with others (Store::CallTogether), and what they return.
struct ClaimCall {
  ClaimRequest claim;
  RequestFacts facts;
  Result<ClaimResult> result = Internal("the call was not made");
};
struct CompleteCall {
  ScopedKey key;
  Token token{};
  StoredResponse response;  // still there afterwards
  Status status = Internal("the call was not made");
};
using StoreCall = std::variant<ClaimCall, CompleteCall>;

// What became of an operator's wish concerning a record whose outcome is not what it should be.
enum class Intervention : uint8_t {
  kDone,
  kNoRecord,
  kInFlight,         // somebody is executing the key
  kSettled,          // its outcome is known
  kNotRedeliverable  // its request was not kept
};

// A record that was claimed so that its stored request is sent again.
struct Redelivery {
  Token token{};
  uint32_t attempt = 1;
  Record before;  // as it was, RecordParts::kAll
};

// The redelivery, or why there is none: never kDone.
using RedeliveryResult = std::variant<Redelivery, Intervention>;

// Replays of one key that were counted since the last time.
struct ReplayCount {
  ScopedKey key;
  uint64_t count = 0;
  int64_t first_at_ms = 0;  // stored time
  int64_t last_at_ms = 0;
};

// Replays of one outcome that are not written down yet, counted where they are made. Thread-safe.
class ReplayTally {
 public:
  // True for the first one after Take: whoever made it has to see to it that they are taken.
  bool Add(int64_t now_ms) {
    last_at_ms_.store(now_ms, std::memory_order_relaxed);
    return count_.fetch_add(1) == 0;
  }
  uint64_t Take() { return count_.exchange(0); }
  [[nodiscard]] uint64_t count() const { return count_.load(); }
  [[nodiscard]] int64_t last_at_ms() const { return last_at_ms_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
  std::atomic<int64_t> last_at_ms_{0};  // stored time
};

// An outcome as it is kept in memory for its next replay.
struct KnownOutcome {
  Record record;  // completed, with a response; RecordParts::kReplay
  std::shared_ptr<ReplayTally> tally = std::make_shared<ReplayTally>();  // may outlive the outcome
};

struct ListFilter {
  std::string scope;   // empty: all
  std::string type;    // empty: all
  std::string prefix;  // of the key; empty: all
  // A sidecar claim whose lease has ended is unknown; whether a gateway's claim is alive only its process can tell.
  std::optional<RecordState> state;
  std::optional<std::pair<std::string, std::string>> label;  // name and value
};

struct RecordPage {
  std::vector<Record> records;  // newest first, RecordParts::kAll without bodies of requests and responses
  std::string next_cursor;      // empty: this was the last page
};

struct TypeCount {
  std::string type;
  uint64_t active = 0;
  uint64_t expired = 0;
};

struct ExpiringCount {
  int64_t until_ms = 0;  // records that expire before this moment and are in no earlier bucket
  uint64_t count = 0;
};

struct StoreStats {
  int64_t now_ms = 0;
  // active = completed + in progress + unknown, less what has expired; expired = not yet removed by a cleanup.
  uint64_t active = 0;
  uint64_t expired = 0;
  uint64_t in_progress = 0;
  uint64_t completed = 0;
  uint64_t unknown = 0;
  std::vector<TypeCount> by_type;       // most active first
  std::vector<ExpiringCount> expiring;  // by time
  bool exact = false;                   // false while the counts are still being read after a start
  uint64_t disk_bytes = 0;
  uint64_t wal_bytes = 0;
  uint64_t memory_bytes = 0;
  std::optional<uint64_t> free_bytes;  // on the store's file system; nothing where that cannot be told
};

struct CleanupReport {
  uint64_t removed = 0;
  uint64_t rewritten = 0;  // entries of records and indexes that had not expired, but stood among those that had
  uint64_t bytes_reclaimed = 0;
  int64_t duration_ms = 0;
};

struct CleanupTotals {
  int64_t last_run_at_ms = 0;      // stored time; 0: never since the start
  int64_t last_success_at_ms = 0;  // likewise
  uint64_t runs = 0;
  uint64_t removed_total = 0;
  uint64_t rewritten_total = 0;
  uint64_t bytes_reclaimed_total = 0;
  uint64_t background_errors = 0;  // times that the store failed at what nobody waits to be told of
  std::string last_error;          // empty: the last run succeeded
};

// What becomes of new keys in a store that was restored from a backup.
enum class RestoredPolicy : uint8_t {
  kAccept,  // they are executed, and marked as possible duplicates
  kHold,    // they are refused until the operator decides otherwise
};

// A restored store has forgotten what was claimed after the backup was taken. Once everything it can have forgotten
// would have expired anyway it is a store like any other.
struct RestoredState {
  RestoredPolicy policy = RestoredPolicy::kHold;
  int64_t taken_at_ms = 0;  // when the backup was
  int64_t until_ms = 0;
};

struct ImportReport {
  uint64_t imported = 0;
  uint64_t existing = 0;  // their keys have a live record, which stays as it is
  uint64_t expired = 0;
};

struct BackupReport {
  uint32_t id = 0;            // grows from backup to backup in a directory
  int64_t taken_at_ms = 0;    // stored time
  uint64_t bytes = 0;         // of everything in it
  uint64_t bytes_copied = 0;  // that were not there from earlier ones
  uint32_t kept = 0;          // backups that the directory holds now
  int64_t duration_ms = 0;
};

struct VerifyReport {
  static constexpr size_t kDifferencesMax = 100;

  uint64_t records = 0;
  uint64_t index_entries = 0;
  uint64_t bodies = 0;           // those kept apart from their records
  uint64_t leftover_bodies = 0;  // of records that have expired; they go when their own time comes
  uint64_t differences_total = 0;
  std::vector<std::string> differences;  // the first kDifferencesMax, a sentence each
  int64_t duration_ms = 0;
};

}  // namespace oncegate

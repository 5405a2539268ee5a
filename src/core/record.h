#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fingerprint.h"
#include "core/key.h"

namespace oncegate {

// Times in records are milliseconds of stored time (see store.h). kNever: no end.
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Stored in records: never renumber.
enum class RecordState : uint8_t { kInProgress = 1, kCompleted = 2, kUnknown = 3 };

// Who made the claim. A gateway claim is alive while its permit is held in the process that made it; a sidecar claim
// is alive until its lease ends. Stored in records: never renumber.
enum class ClaimOwner : uint8_t { kGateway = 1, kSidecar = 2 };

// What a sidecar claim becomes when its lease ends unrenewed. Stored in records: never renumber.
enum class LeaseExpiry : uint8_t { kHold = 0, kRerun = 1 };

using RecordId = std::array<uint8_t, 16>;  // a UUID, version 4
using Token = std::array<uint8_t, 16>;     // names one claim; random, never reused

RecordId NewRecordId();
Token NewToken();
std::string FormatUuid(const RecordId& id);
std::string FormatToken(const Token& token);  // 32 hexadecimal digits
bool ParseToken(std::string_view text, Token* token);

// Whether a key's type or a label's name or value is fit for lists and metrics: 1 to `bytes_max` bytes, and none of
// them a control character.
bool IsPresentable(std::string_view text, size_t bytes_max);

// The names of the contract: "in_progress", "completed", "unknown".
std::string_view RecordStateName(RecordState state);
std::optional<RecordState> ParseRecordState(std::string_view name);

struct StoredRequest {
  std::string method;
  std::string target;
  // Field lines as received, each ended by CRLF, less Authorization, Cookie and the like.
  std::string fields;
  std::string body;
  bool body_kept = false;  // false: the body was not stored, and redelivery is impossible

  friend bool operator==(const StoredRequest&, const StoredRequest&) = default;
};

struct StoredResponse {
  uint16_t status = 0;
  // Status line and end-to-end field lines in order, each ended by CRLF, without the empty line: ready to be sent.
  // Holds no Date and no Set-Cookie.
  std::string head;
  std::string body;
  bool body_kept = true;  // false: the body was larger than is stored; a replay says so

  friend bool operator==(const StoredResponse&, const StoredResponse&) = default;
};

// What operators did to a record. Stored in records: never renumber.
enum class HistoryAction : uint8_t {
  kResolved = 1,     // said what the outcome is
  kRedelivered = 2,  // had the request sent to the application again
};

// "resolved", "redelivered".
std::string_view HistoryActionName(HistoryAction action);
std::optional<HistoryAction> ParseHistoryAction(std::string_view name);

struct HistoryEntry {
  int64_t at_ms = 0;
  std::string by;  // the name of the operator's token; empty: it has none
  HistoryAction action = HistoryAction::kResolved;
  std::string detail;

  friend bool operator==(const HistoryEntry&, const HistoryEntry&) = default;
};
// A record keeps its latest entries.
inline constexpr size_t kHistoryMax = 16;

using Labels = std::vector<std::pair<std::string, std::string>>;

// Everything that is remembered of one key.
struct Record {
  RecordId id{};
  ScopedKey key;
  std::string type;
  RecordState state = RecordState::kInProgress;
  ClaimOwner owner = ClaimOwner::kGateway;
  Token token{};
  uint32_t attempt = 1;
  int64_t created_at_ms = 0;    // when the key was first claimed since it was last forgotten
  int64_t completed_at_ms = 0;  // 0: not completed
  int64_t expires_at_ms = kNever;
  int64_t ttl_ms = 0;        // how long the outcome will be remembered once there is one
  bool hold_unknown = true;  // an unknown outcome stays until an operator settles it, rather than for ttl_ms
  int64_t lease_expires_at_ms = kNever;  // sidecar claims
  LeaseExpiry on_lease_expiry = LeaseExpiry::kHold;
  std::string claim_id;  // sidecar claims: the client's name for this claim; empty: none
  std::optional<Fingerprint> fingerprint;
  std::string source_ip;
  Labels labels;
  uint64_t replays = 0;  // approximate, and so are these times; 0: none
  int64_t first_replay_at_ms = 0;
  int64_t last_replay_at_ms = 0;
  std::optional<StoredRequest> request;
  std::optional<StoredResponse> response;
  std::vector<HistoryEntry> history;  // oldest first

  friend bool operator==(const Record&, const Record&) = default;
};

// Adds an entry; the oldest goes if there are kHistoryMax.
void AddHistory(HistoryEntry entry, Record* record);

}  // namespace oncegate

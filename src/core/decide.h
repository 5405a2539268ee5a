#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "core/fingerprint.h"
#include "core/policy.h"
#include "core/record.h"

namespace oncegate {

// What the decision needs to know of a record.
struct RecordFacts {
  RecordState state = RecordState::kInProgress;
  int64_t expires_at_ms = kNever;
  // In progress: whether whoever executes it is still there. The record alone cannot tell.
  bool owner_alive = false;
  // In progress, owner gone, or unknown: the owner said at claiming that the work may then be done again.
  bool rerun = false;
  std::optional<Fingerprint> fingerprint;
  uint32_t attempt = 1;
};

// What the decision needs to know of a request, and the policies in force when it arrived.
struct RequestFacts {
  std::optional<Fingerprint> fingerprint;
  MismatchPolicy on_mismatch = MismatchPolicy::kReject;
  UnknownPolicy on_unknown = UnknownPolicy::kHold;
};

struct Execute {
  uint32_t attempt = 1;
  friend bool operator==(const Execute&, const Execute&) = default;
};
struct Replay {
  friend bool operator==(const Replay&, const Replay&) = default;
};
struct KeyReused {
  friend bool operator==(const KeyReused&, const KeyReused&) = default;
};
struct InFlight {
  friend bool operator==(const InFlight&, const InFlight&) = default;
};
struct OutcomeUnknown {
  friend bool operator==(const OutcomeUnknown&, const OutcomeUnknown&) = default;
};

// The key is not known, and what is known may be too old to tell whether that means anything.
struct Held {
  friend bool operator==(const Held&, const Held&) = default;
};

using Decision = std::variant<Execute, Replay, KeyReused, InFlight, OutcomeUnknown, Held>;

// What becomes of keys without a live record. Hold: the store was restored from a backup, and an operator has not yet
// accepted that it may have forgotten some.
enum class AbsentKeys : uint8_t { kExecute, kHold };

// The one rule by which a delivery is executed, replayed or refused, for gateway and sidecar alike; spec section 3.
// Pure: no I/O, no clock, no state. `record` is null when the key is not known. Fingerprints of different recipes
// cannot be compared and count as the same: the key is what excludes, the fingerprint only catches a mistaken reuse.
Decision Decide(const RecordFacts* record, const RequestFacts& request, int64_t now_ms,
                AbsentKeys absent = AbsentKeys::kExecute);

// The facts of a record as they are for somebody who holds the key's permit in this process, or for a sidecar claim:
// no gateway claim can then have a live owner, and a sidecar claim lives by its lease.
RecordFacts FactsOf(const Record& record, int64_t now_ms);

}  // namespace oncegate

#include "core/decide.h"

namespace oncegate {
namespace {

bool Differ(const std::optional<Fingerprint>& a, const std::optional<Fingerprint>& b) {
  return a && b && a->recipe == b->recipe && a->digest != b->digest;
}

}  // namespace

Decision Decide(const RecordFacts* record, const RequestFacts& request, int64_t now_ms, AbsentKeys absent) {
  if (record == nullptr || record->expires_at_ms <= now_ms) {
    if (absent == AbsentKeys::kHold) return Held{};
    return Execute{1};
  }
  if (request.on_mismatch == MismatchPolicy::kReject && Differ(record->fingerprint, request.fingerprint))
    return KeyReused{};
  if (record->state == RecordState::kCompleted) return Replay{};
  if (record->state == RecordState::kInProgress && record->owner_alive) return InFlight{};
  // Unknown, or in progress with nobody left to finish it, which is the same.
  if (record->rerun || request.on_unknown == UnknownPolicy::kRelease) return Execute{record->attempt + 1};
  return OutcomeUnknown{};
}

RecordFacts FactsOf(const Record& record, int64_t now_ms) {
  const bool in_progress = record.state == RecordState::kInProgress;
  const bool sidecar = record.owner == ClaimOwner::kSidecar;
  const bool leased = sidecar && record.lease_expires_at_ms > now_ms;
  return RecordFacts{
      .state = record.state,
      .expires_at_ms = record.expires_at_ms,
      .owner_alive = in_progress && leased,
      .rerun = sidecar && record.state != RecordState::kCompleted && !(in_progress && leased) &&
               record.on_lease_expiry == LeaseExpiry::kRerun,
      .fingerprint = record.fingerprint,
      .attempt = record.attempt,
  };
}

}  // namespace oncegate

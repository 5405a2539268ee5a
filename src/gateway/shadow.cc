// --dedupe shadow: every request is forwarded as a pure proxy would, and what would have become of it is counted.
//
// What was executed is remembered after its client has the answer, so that retries are known for what they are and a
// later `on` starts with what is known. Nothing here may keep a request from being forwarded, nor change its answer.

#include "gateway/shadow.h"

#include <utility>

#include "gateway/delivery.h"
#include "gateway/gateway.h"
#include "gateway/messages.h"
#include "gateway/provider.h"
#include "gateway/response_collector.h"

namespace oncegate {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(ShadowDecision::kCount)> kNames{
    "would_execute",         "would_replay",         "would_wait",   "would_reject_in_flight",
    "would_reject_mismatch", "would_reject_unknown", "would_refuse", "missing_key",
    "invalid_key",           "signature_failure",    "store_error"};

}  // namespace

std::string_view ShadowDecisionName(ShadowDecision decision) {
  return kNames[static_cast<size_t>(decision)];
}

void ShadowCounters::Add(std::string_view scope, ShadowDecision decision) {
  const std::lock_guard lock(mutex_);
  auto it = counts_.find(scope);
  if (it == counts_.end()) it = counts_.emplace(scope, Counts{}).first;
  ++it->second[static_cast<size_t>(decision)];
}

std::map<std::string, ShadowCounters::Counts, std::less<>> ShadowCounters::ByScope() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

ShadowCounters::Counts ShadowCounters::Totals() const {
  Counts totals{};
  for (const auto& [scope, counts] : ByScope()) {
    for (size_t i = 0; i < totals.size(); ++i) totals[i] += counts[i];
  }
  return totals;
}

void Gateway::CountShadow(const Delivery& delivery, ShadowDecision decision, std::string_view reason) {
  shadow_.Add(delivery.route->scope, decision);
  logger_.Log(LogLevel::kInfo, LogEvent::kShadow, "forwarded all the same (--dedupe shadow)",
              {{"scope", delivery.key.scope()},
               {"key", delivery.key.key()},
               {"decision", ShadowDecisionName(decision)},
               {"reason", reason},
               delivery.TraceField()});
}

// Forwards what would have been refused.
void Gateway::PassInShadow(DeliveryPtr delivery, ShadowDecision decision, std::string_view reason) {
  delivery->plan = Delivery::Plan::kPass;
  CountShadow(*delivery, decision, reason);
  Enqueue(std::move(delivery));
}

void Gateway::DecideInShadow(DeliveryPtr delivery) {
  Delivery& d = *delivery;
  d.plan = Delivery::Plan::kPass;
  Status guarded = d.guard.empty() ? OkStatus() : FindGuarded(d);
  const Result<ShadowDecision> decision = guarded.ok() ? Foresee(d) : Result<ShadowDecision>(std::move(guarded));
  if (!decision.ok()) LogStoreError(d, decision.status());
  CountShadow(d, decision.ok() ? *decision : ShadowDecision::kStoreError);
  Enqueue(std::move(delivery));
}

// What Decide() says of the key's record as it is now.
Result<Decision> Gateway::DecideNow(const Delivery& delivery) {
  const Result<std::optional<Record>> record = store_.Get(delivery.key, RecordParts::kReplay);
  if (!record.ok()) return record.status();
  const int64_t now_ms = store_.NowMs();
  if (record->has_value()) {
    const RecordFacts facts = FactsOf(**record, now_ms);
    return Decide(&facts, delivery.FactsAgainst(**record), now_ms);
  }
  const std::optional<RestoredState> restored = store_.Restored();
  const bool held = restored && restored->policy == RestoredPolicy::kHold;
  return Decide(nullptr, delivery.facts, now_ms, held ? AbsentKeys::kHold : AbsentKeys::kExecute);
}

// Takes the key's permit, and the plan to remember the outcome, where this one is the execution that counts.
Result<ShadowDecision> Gateway::Foresee(Delivery& delivery) {
  const ShadowDecision busy =
      delivery.route->on_in_flight == InFlightPolicy::kWait ? ShadowDecision::kWait : ShadowDecision::kInFlight;
  // The second look is with the permit in hand: what was being executed may have ended in between.
  for (const bool elected : {false, true}) {
    const Result<Decision> decision = DecideNow(delivery);
    if (!decision.ok()) return decision.status();
    const bool executes = std::holds_alternative<oncegate::Execute>(*decision);
    if (executes || std::holds_alternative<OutcomeUnknown>(*decision)) {
      if (elected) {
        delivery.plan = Delivery::Plan::kShadow;
        return executes ? ShadowDecision::kExecute : ShadowDecision::kUnknown;
      }
      std::unique_ptr<Waiter> nobody;
      InFlightTable::Admission admission = table_.Admit(delivery.key, delivery.facts, 0, nobody);
      if (const auto* refused = std::get_if<Decision>(&admission))
        return std::holds_alternative<KeyReused>(*refused) ? ShadowDecision::kMismatch : busy;
      delivery.permit.emplace(std::get<InFlightTable::Permit>(std::move(admission)));
      continue;
    }
    EndPermit(delivery, Ending::kForgot);
    if (std::holds_alternative<KeyReused>(*decision)) return ShadowDecision::kMismatch;
    if (std::holds_alternative<InFlight>(*decision)) return busy;
    if (std::holds_alternative<Held>(*decision)) return ShadowDecision::kRefuse;
    housekeeper_.CountReplay(delivery.key);
    return ShadowDecision::kReplay;
  }
  return busy;
}

void Gateway::ExecuteInShadow(Delivery& delivery) {
  ResponseCollector collector({.request_method = delivery.request.head.method,
                               .outcome = Outcome::kPassed,
                               .keep_bytes_max = kPassedKeepBytesMax,
                               .keyed = false,
                               .copy_bytes_max = delivery.route->max_stored_body},
                              *delivery.channel, memory_);
  const ForwardResult result = ForwardPassed(delivery, collector, Outcome::kPassed);
  EndPermit(delivery, RememberInShadow(delivery, result, collector));
}

// Writes down what an execution would have left. What is returned counts for those who wait because `on` came into
// force meanwhile: what cannot be remembered they must not take for not executed.
Ending Gateway::RememberInShadow(Delivery& delivery, const ForwardResult& result, ResponseCollector& collector) {
  if (result.end == ForwardEnd::kNotSent) return Ending::kForgot;
  // A client that leaves stops the reading, not what the application has done.
  const bool said =
      collector.head() != nullptr && (result.end == ForwardEnd::kAnswered || result.end == ForwardEnd::kStopped);
  const Verdict verdict = said ? Judge(*delivery.route, *collector.head()) : Verdict::kUnknown;
  if (verdict == Verdict::kRelease) return Ending::kForgot;
  ClaimRequest claim = ClaimOf(delivery);
  // Nobody settles what is only watched: an unknown outcome goes with time, and a later attempt takes its place.
  claim.hold_unknown = false;
  claim.acts_on_failure = false;
  RequestFacts facts = delivery.facts;
  facts.on_unknown = UnknownPolicy::kRelease;
  const Result<ClaimResult> claimed = store_.Claim(claim, facts);
  Status status = claimed.status();
  if (status.ok() && std::holds_alternative<Refused>(*claimed)) return Ending::kSettled;
  if (status.ok()) {
    const Token& token = std::get<Claimed>(*claimed).token;
    if (verdict == Verdict::kUnknown) {
      status = store_.MarkUnknown(delivery.key, token);
    } else {
      const ProviderRoute* const provider = delivery.route->provider.get();
      const bool kept = result.end == ForwardEnd::kAnswered && collector.has_copy() &&
                        (provider == nullptr || provider->profile->replay_bodies);
      StoredResponse response = ResponseToStore(*collector.head(), kept ? collector.TakeCopy() : std::string(), kept);
      status = store_.Complete(delivery.key, token, response);
      if (!status.ok() && status.code() != StatusCode::kConflict)
        housekeeper_.StoreLater({delivery.key, token, UnstoredEnding::End::kCompleted, std::move(response)});
    }
  }
  if (!status.ok()) {
    LogStoreError(delivery, status);
    CountShadow(delivery, ShadowDecision::kStoreError);
    return Ending::kUnknown;
  }
  return verdict == Verdict::kUnknown ? Ending::kUnknown : Ending::kSettled;
}

}  // namespace oncegate

// The replay lane: retries whose outcomes are in memory, answered by whoever has read the request, with nothing made
// for it. It decides as LookUp does, and leaves to Handle whatever it cannot answer.

#include <optional>
#include <utility>
#include <variant>

#include "gateway/gateway.h"
#include "gateway/trace.h"

namespace oncegate {

std::shared_ptr<const KnownOutcome> Gateway::TryReplay(const RequestView& request, std::optional<Sighting>* seen) {
  const int64_t started_us = clock_.SteadyUs();
  if (draining()) return nullptr;
  const RouteTable& routes = *CurrentRoutes();
  if (routes.by_path() && !IsPlainPath(request.head.target)) return nullptr;
  const RouteTable::RoutePtr& route = routes.Find(request.head.target);
  const bool may_replay = route->provider == nullptr && route->dedupe == Dedupe::kOn &&
                          IsOneOf(request.head.method, route->methods) && request.body.size() <= kBodyBytesOnLoopMax;
  if (!may_replay || route == routes.nowhere()) return nullptr;
  Result<Identity> identity = Identify(*route, request.head.fields, request.body);
  if (!identity.ok()) return nullptr;
  const int64_t now_ms = store_.NowMs();
  std::shared_ptr<const KnownOutcome> outcome = FindReplay(*route, *identity, request, now_ms);
  if (outcome == nullptr) {
    seen->emplace(Sighting{route, std::move(*identity)});
    return nullptr;
  }
  meter_.Count({.outcome = Outcome::kReplayed,
                .route_scope = route->scope,
                .scope = identity->scope,
                .key = identity->key,
                .type = identity->type,
                .source_ip = request.client_ip,
                .status = outcome->record.response->status,
                .attempt = outcome->record.attempt,
                .duration_us = clock_.SteadyUs() - started_us});
  housekeeper_.CountReplay(*outcome, now_ms);
  LogReplay(outcome->record.key, TraceIdOf(request.head.fields));
  return outcome;
}

// The outcome of the request's key, if it is in memory and the decision is to replay it.
std::shared_ptr<const KnownOutcome> Gateway::FindReplay(const Route& route, const Identity& identity,
                                                        const RequestView& request, int64_t now_ms) {
  if (identity.key.empty()) return nullptr;
  const int64_t lookup_us = clock_.SteadyUs();
  std::shared_ptr<const KnownOutcome> outcome = store_.Recall(ScopedKey(identity.scope, identity.key));
  if (outcome == nullptr) return nullptr;
  meter_.AddLookupDuration(clock_.SteadyUs() - lookup_us);
  const Record& record = outcome->record;
  RequestFacts facts{.fingerprint = {}, .on_mismatch = route.on_mismatch, .on_unknown = route.on_unknown};
  // Of another recipe than the record's it would count as equal, and nobody else asks for it here.
  if (record.fingerprint && record.fingerprint->recipe != FingerprintRecipe::kOpaque)
    facts.fingerprint =
        MakeFingerprint(record.fingerprint->recipe, {request.head.method, request.head.target, request.body});
  const RecordFacts record_facts = FactsOf(record, now_ms);
  const bool replay = std::holds_alternative<Replay>(Decide(&record_facts, facts, now_ms));
  return replay ? outcome : nullptr;
}

}  // namespace oncegate

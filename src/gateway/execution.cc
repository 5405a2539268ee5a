// What becomes of a request that has a forwarding slot: claim, forward (forwarding.cc), store the outcome, answer.

#include <utility>

#include "gateway/delivery.h"
#include "gateway/gateway.h"
#include "gateway/messages.h"
#include "gateway/provider.h"
#include "gateway/response_collector.h"

namespace oncegate {
namespace {

using http::ErrorCode;

ErrorCode ErrorOf(ForwardEnd end) {
  switch (end) {
    case ForwardEnd::kNotSent:
      return ErrorCode::kUpstreamUnreachable;
    case ForwardEnd::kTimedOut:
      return ErrorCode::kUpstreamTimeout;
    case ForwardEnd::kAnswered:
    case ForwardEnd::kBroken:
    case ForwardEnd::kStopped:
      break;
  }
  return ErrorCode::kUpstreamBroken;
}

StoredResponse OutcomeOf(const Delivery& delivery) {
  const ResponseCollector& collector = *delivery.collector;
  const ProviderRoute* const provider = delivery.route->provider.get();
  const bool kept = !collector.flowing() && (provider == nullptr || provider->profile->replay_bodies);
  return ResponseToStore(*collector.head(), kept ? collector.body() : std::string(), kept);
}

// What the sender is told: no addresses, which are in the log.
std::string PublicDetail(ErrorCode code) {
  if (code == ErrorCode::kUpstreamUnreachable) return "The application cannot be reached; nothing was sent to it.";
  if (code == ErrorCode::kUpstreamTimeout) return "The application did not answer in time.";
  return "The connection to the application broke before a whole answer came.";
}

}  // namespace

Verdict Judge(const Route& route, const http::ResponseHead& head) {
  const auto store = head.fields.Find(kStoreField);
  if (store && http::EqualsIgnoreCase(*store, "no")) return Verdict::kRelease;
  if (route.unknown_status.Contains(head.status)) return Verdict::kUnknown;
  return route.final_status.Contains(head.status) ? Verdict::kFinal : Verdict::kRelease;
}

void Gateway::WriteDown(std::vector<DeliveryPtr>* deliveries) {
  std::vector<StoreCall> calls;
  calls.reserve(deliveries->size());
  for (const DeliveryPtr& delivery : *deliveries) {
    if (delivery->outcome)
      calls.emplace_back(CompleteCall{delivery->key, delivery->claim->token, *std::move(delivery->outcome)});
    else
      calls.emplace_back(ClaimCall{ClaimOf(*delivery), delivery->facts});
  }
  store_.CallTogether(&calls);
  for (size_t i = 0; i < calls.size(); ++i) {
    DeliveryPtr& delivery = (*deliveries)[i];
    if (auto* claim = std::get_if<ClaimCall>(&calls[i])) {
      if (!TakeClaim(delivery, std::move(claim->result))) delivery.reset();
      continue;
    }
    auto& complete = std::get<CompleteCall>(calls[i]);
    EndAnswered(*delivery, OutcomeStored(*delivery, complete.status, std::move(complete.response)));
    delivery.reset();
  }
}

Gateway::DeliveryPtr Gateway::Run(DeliveryPtr delivery) {
  switch (delivery->plan) {
    case Delivery::Plan::kIdentify:
      FindIdentity(std::move(delivery), std::nullopt);
      return nullptr;
    case Delivery::Plan::kPass:
    case Delivery::Plan::kUnkeyed:
      Pass(*delivery);
      return nullptr;
    case Delivery::Plan::kShadow:
      ExecuteInShadow(*delivery);
      return nullptr;
    case Delivery::Plan::kExecute:
    case Delivery::Plan::kRedeliver:
    case Delivery::Plan::kUnprotected:
      return Execute(*delivery) ? std::move(delivery) : nullptr;
  }
  return nullptr;
}

bool Gateway::Execute(Delivery& delivery) {
  if (delivery.plan == Delivery::Plan::kRedeliver && !ClaimAgain(delivery)) return false;
  return Settle(delivery, ForwardKeyed(delivery));
}

ClaimRequest Gateway::ClaimOf(const Delivery& delivery) {
  const Route& route = *delivery.route;
  return {.key = delivery.key,
          .type = delivery.type,
          .ttl_ms = route.ttl_ms,
          .hold_unknown = route.on_unknown == UnknownPolicy::kHold,
          .source_ip = delivery.request.client_ip,
          .labels = delivery.labels,
          .request = RequestToStore(route, delivery.request),
          .request_body_needed_ms = route.upstream_timeout_ms + route.ttl_ms,
          .acts_on_failure = route.on_store_error == StoreErrorPolicy::kForward};
}

// False: the claim was not made, and the client has its answer or waits for it.
bool Gateway::TakeClaim(DeliveryPtr& claimed, Result<ClaimResult> result) {
  Delivery& delivery = *claimed;
  if (!result.ok()) {
    LogStoreError(delivery, result.status());
    if (MayFailOpen(*delivery.route, result.status())) return true;
    Refuse(delivery, ErrorCode::kStoreUnavailable, "The store cannot take a claim now; nothing was executed.");
    return false;
  }
  if (auto* refused = std::get_if<Refused>(&*result)) {
    if (std::holds_alternative<InFlight>(refused->decision) && clock_.SteadyMs() < delivery.wait_until_ms) {
      AwaitLease(std::move(claimed), refused->record.lease_expires_at_ms - store_.NowMs());
      return false;
    }
    AnswerDecision(delivery, refused->decision, &refused->record);
    return false;
  }
  delivery.claim = std::get<Claimed>(*result);
  logger_.Log(LogLevel::kInfo, LogEvent::kKeyNew, "idempotency key is new",
              {{"scope", delivery.key.scope()},
               {"key", delivery.key.key()},
               {"type", std::string_view(delivery.type)},
               {"attempt", static_cast<int64_t>(delivery.claim->attempt)},
               delivery.TraceField()});
  return true;
}

bool Gateway::Settle(Delivery& delivery, const ForwardResult& result) {
  Ending ending = Ending::kUnknown;
  switch (result.end) {
    case ForwardEnd::kAnswered:
      return SettleAnswered(delivery);
    case ForwardEnd::kNotSent:
      ending = StoreRelease(delivery, result.detail);
      break;
    case ForwardEnd::kTimedOut:
    case ForwardEnd::kBroken:
    case ForwardEnd::kStopped:
      ending = StoreUnknown(delivery, result.detail);
      break;
  }
  AnswerForwardError(delivery, result, *delivery.collector);
  EndPermit(delivery, ending);
  return false;
}

// Whether the answer is an outcome that the writing thread can take down. An answer that flows ends at the client's
// pace, and that thread cannot wait for a client.
bool Gateway::TakeOutcome(Delivery& delivery) {
  const ResponseCollector& collector = *delivery.collector;
  if (!delivery.claim || collector.flowing() || Judge(*delivery.route, *collector.head()) != Verdict::kFinal)
    return false;
  delivery.outcome = OutcomeOf(delivery);
  return true;
}

bool Gateway::SettleAnswered(Delivery& delivery) {
  const Verdict verdict = Judge(*delivery.route, *delivery.collector->head());
  Ending ending = Ending::kForgot;
  switch (verdict) {
    case Verdict::kFinal:
      if (TakeOutcome(delivery)) return true;
      ending = StoreOutcome(delivery, OutcomeOf(delivery));
      break;
    case Verdict::kUnknown:
      ending = StoreUnknown(delivery, "the application's status says so");
      break;
    case Verdict::kRelease:
      ending = StoreRelease(delivery, "the application's answer is not final");
      break;
  }
  EndAnswered(delivery, ending);
  return false;
}

void Gateway::EndAnswered(Delivery& delivery, Ending ending) {
  ResponseCollector& collector = *delivery.collector;
  Count(delivery, delivery.claim ? Outcome::kExecuted : Outcome::kUnprotected, collector.head()->status);
  // The client whose request it was comes before those who waited, unless it reads slowly.
  if (!collector.flowing()) collector.Finish();
  EndPermit(delivery, ending);
  if (collector.flowing()) collector.Finish();
}

Ending Gateway::StoreOutcome(Delivery& delivery, StoredResponse response) {
  // Executed without a claim: there is nothing to replay, and those who waited must not execute it again.
  if (!delivery.claim) return Ending::kUnknown;
  const Status status = store_.Complete(delivery.key, delivery.claim->token, response);
  return OutcomeStored(delivery, status, std::move(response));
}

Ending Gateway::OutcomeStored(Delivery& delivery, const Status& status, StoredResponse response) {
  if (status.ok()) return Ending::kSettled;
  LogStoreError(delivery, status);
  // The client gets its answer all the same; until a later write succeeds nobody may execute the key again.
  if (status.code() != StatusCode::kConflict)
    housekeeper_.StoreLater(
        {delivery.key, delivery.claim->token, UnstoredEnding::End::kCompleted, std::move(response)});
  return Ending::kUnknown;
}

Ending Gateway::StoreUnknown(Delivery& delivery, std::string_view reason) {
  if (!delivery.claim) return Ending::kUnknown;
  const Status status = store_.MarkUnknown(delivery.key, delivery.claim->token);
  if (!status.ok() && status.code() != StatusCode::kConflict) {
    LogStoreError(delivery, status);
    // Until then the record says in progress, without a permit: nobody executes it, but it is listed as what it is not.
    housekeeper_.StoreLater({delivery.key, delivery.claim->token, UnstoredEnding::End::kUnknown, {}});
  }
  logger_.Log(
      LogLevel::kWarn, LogEvent::kUnknownHeld, "the outcome of an execution is unknown",
      {{"scope", delivery.key.scope()}, {"key", delivery.key.key()}, {"reason", reason}, delivery.TraceField()});
  return Ending::kUnknown;
}

Ending Gateway::StoreRelease(Delivery& delivery, std::string_view reason) {
  if (!delivery.claim) return Ending::kForgot;
  if (delivery.redelivery) return PutBack(delivery, reason);
  const Status status = store_.Release(delivery.key, delivery.claim->token);
  if (!status.ok() && status.code() != StatusCode::kConflict) {
    LogStoreError(delivery, status);
    housekeeper_.StoreLater({delivery.key, delivery.claim->token, UnstoredEnding::End::kReleased, {}});
  }
  logger_.Log(
      LogLevel::kInfo, LogEvent::kReleased, "the key is released: a retry will be executed",
      {{"scope", delivery.key.scope()}, {"key", delivery.key.key()}, {"reason", reason}, delivery.TraceField()});
  return Ending::kForgot;
}

void Gateway::EndPermit(Delivery& delivery, Ending ending) {
  if (delivery.permit) delivery.permit->End(ending);
  delivery.permit.reset();
  if (delivery.guard_permit) delivery.guard_permit->End(ending);
  delivery.guard_permit.reset();
}

void Gateway::AnswerForwardError(Delivery& delivery, const ForwardResult& result, const ResponseCollector& collector) {
  const ErrorCode code = ErrorOf(result.end);
  logger_.Log(LogLevel::kWarn, LogEvent::kError, "error in idempotency gateway: the application did not answer",
              {{"outcome", http::ErrorName(code)},
               {"reason", std::string_view(result.detail)},
               {"method", std::string_view(delivery.request.head.method)},
               {"scope", delivery.key.scope()},
               {"key", delivery.key.key()},
               delivery.TraceField()});
  // An answer that has begun cannot become another one: dropping the channel closes the client's connection.
  if (collector.flowing()) return Count(delivery, code, collector.head()->status);
  SendProblem(delivery, code, PublicDetail(code));
}

}  // namespace oncegate

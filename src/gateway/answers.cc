// What a sender is told where nothing is executed, and how requests are counted.

#include <optional>
#include <utility>

#include "gateway/delivery.h"
#include "gateway/gateway.h"
#include "gateway/messages.h"
#include "gateway/provider.h"

namespace oncegate {
namespace {

using http::ErrorCode;

// Seconds after which a refused sender may usefully come back.
std::optional<int> RetryAfter(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInFlight:
    case ErrorCode::kOverloaded:
      return 1;
    case ErrorCode::kStoreUnavailable:
    case ErrorCode::kDraining:
    case ErrorCode::kUpstreamUnreachable:
      return 5;
    case ErrorCode::kOutcomeUnknown:
      return 60;  // until somebody settles it
    default:
      return std::nullopt;
  }
}

}  // namespace

// `record` is moved from; null where no replay is possible.
void Gateway::AnswerDecision(Delivery& delivery, const Decision& decision, Record* record) {
  if (std::holds_alternative<Replay>(decision) && record != nullptr && record->response) {
    Count(delivery, Outcome::kReplayed, record->response->status, record->attempt);
    delivery.channel->Send(ReplayOf(std::move(*record->response)));
    housekeeper_.CountReplay(delivery.key);
    LogReplay(delivery.key, delivery.trace);
    EndPermit(delivery, Ending::kSettled);
  } else if (std::holds_alternative<KeyReused>(decision)) {
    Refuse(delivery, ErrorCode::kKeyReused, "This key was used before with a different request.");
  } else if (std::holds_alternative<InFlight>(decision)) {
    Refuse(delivery, ErrorCode::kInFlight, "Another delivery of this key is being executed.");
  } else if (std::holds_alternative<Held>(decision)) {
    Refuse(delivery, ErrorCode::kStoreUnavailable,
           "This store was restored from a backup and does not know this key; nothing was executed.");
  } else {
    Refuse(delivery, ErrorCode::kOutcomeUnknown,
           "An earlier attempt with this key may or may not have taken effect; an operator has to settle it.");
  }
}

void Gateway::LogReplay(const ScopedKey& key, std::string_view trace) {
  logger_.Log(LogLevel::kInfo, LogEvent::kCacheHit, "idempotency cache hit",
              {{"scope", key.scope()}, {"key", key.key()}, {trace.empty() ? "" : "trace", trace}});
}

void Gateway::Refuse(Delivery& delivery, ErrorCode code, std::string detail) {
  SendProblem(delivery, code, std::move(detail));
  EndPermit(delivery, Ending::kForgot);
}

void Gateway::SendProblem(Delivery& delivery, ErrorCode code, std::string detail) {
  http::Error error{.code = code, .detail = std::move(detail), .retry_after_s = RetryAfter(code)};
  const ProviderRoute* const provider = delivery.route->provider.get();
  const bool to_operator = delivery.plan == Delivery::Plan::kRedeliver;
  const bool empty = provider != nullptr && provider->profile->empty_refusals && !to_operator;
  const bool busy = code == ErrorCode::kInFlight || code == ErrorCode::kOutcomeUnknown;
  if (busy && !to_operator) error.status = delivery.route->busy_status;
  Count(delivery, code, error.status.value_or(http::ErrorStatus(code)));
  delivery.channel->Send(empty ? EmptyReply(error) : ProblemReply(error));
}

void Gateway::Count(const Delivery& delivery, Outcome outcome, int status, uint32_t attempt) {
  const std::string_view route_scope = delivery.route->scope;
  const bool keyed = !delivery.key.key().empty();
  meter_.Count({.outcome = outcome,
                .route_scope = route_scope,
                .scope = keyed ? delivery.key.scope() : route_scope,
                .key = delivery.key.key(),
                .type = delivery.type,
                .source_ip = delivery.request.client_ip,
                .status = status,
                .attempt = delivery.claim ? delivery.claim->attempt : attempt,
                .duration_us = clock_.SteadyUs() - delivery.started_us});
}

void Gateway::CountRefusal(ErrorCode code, std::string_view client_ip) {
  meter_.Count({.outcome = code, .source_ip = client_ip, .status = http::ErrorStatus(code)});
}

}  // namespace oncegate

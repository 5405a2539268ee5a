// How requests get to the application: without a thread where that can be, and otherwise on the slot's.

#include <utility>

#include "gateway/delivery.h"
#include "gateway/gateway.h"
#include "gateway/messages.h"
#include "gateway/response_collector.h"

namespace oncegate {

// `keyed` is null for requests that are not remembered.
OutboundRequest Gateway::OutboundOf(const Delivery& delivery, const KeyedFields* keyed) {
  const Route& route = *delivery.route;
  const InboundRequest& request = delivery.request;
  const bool retries = keyed != nullptr || delivery.plan == Delivery::Plan::kUnkeyed;
  return {.method = request.head.method,
          .head = OutboundHead(route, request, keyed),
          .body = request.body,
          .total_timeout_ms = keyed == nullptr ? 0 : route.upstream_timeout_ms,
          .idle_timeout_ms = route.upstream_timeout_ms,
          .connect_retry_ms = retries ? route.connect_retry_ms : 0};
}

void Gateway::Pass(Delivery& delivery) {
  const Outcome outcome = delivery.plan == Delivery::Plan::kUnkeyed ? Outcome::kUnkeyed : Outcome::kPassed;
  ResponseCollector collector({.request_method = delivery.request.head.method,
                               .outcome = outcome,
                               .keep_bytes_max = kPassedKeepBytesMax,
                               .keyed = false},
                              *delivery.channel, memory_);
  (void)ForwardPassed(delivery, collector, outcome);
}

// As a pure proxy, up to the client's answer.
ForwardResult Gateway::ForwardPassed(Delivery& delivery, ResponseCollector& collector, Outcome outcome) {
  const int64_t started_us = clock_.SteadyUs();
  ForwardResult result = UpstreamOf(*delivery.route).Forward(OutboundOf(delivery, nullptr), collector);
  meter_.AddUpstreamDuration(clock_.SteadyUs() - started_us);
  // Stopped: the client left in the middle of it.
  if (result.end == ForwardEnd::kAnswered || result.end == ForwardEnd::kStopped) {
    Count(delivery, outcome, collector.head()->status);
    if (result.end == ForwardEnd::kAnswered) collector.Finish();
  } else {
    AnswerForwardError(delivery, result, collector);
  }
  return result;
}

void Gateway::PrepareKeyed(Delivery& delivery) {
  const bool claimed = delivery.claim.has_value();
  const KeyedFields keyed{
      .key = delivery.key.key(),
      .attempt = claimed ? delivery.claim->attempt : 1,
      .possible_duplicate = claimed ? delivery.claim->possible_duplicate : store_.Restored().has_value(),
      .redelivery = delivery.plan == Delivery::Plan::kRedeliver};
  delivery.collector.emplace(ResponseCollector::Plan{.request_method = delivery.request.head.method,
                                                     .outcome = claimed ? Outcome::kExecuted : Outcome::kUnprotected,
                                                     .keep_bytes_max = delivery.route->max_stored_body,
                                                     .keyed = true},
                             *delivery.channel, memory_);
  delivery.outbound = OutboundOf(delivery, &keyed);
  delivery.forwarded_at_us = clock_.SteadyUs();
}

// On the writing thread: sends it over a connection that is there, and leaves the answer to the upstream's thread.
bool Gateway::StartForward(DeliveryPtr& delivery) {
  Delivery& d = *delivery;
  PrepareKeyed(d);
  // The delivery may be gone before Start returns, and the last user of its application with it.
  const std::shared_ptr<const Route> route = d.route;
  std::unique_ptr<ForwardObserver> observer = std::move(delivery);
  if (UpstreamOf(*route).Start(d.outbound, *d.collector, observer)) return true;
  delivery.reset(static_cast<Delivery*>(observer.release()));
  return false;
}

void Delivery::OnForwarded(std::unique_ptr<ForwardObserver> self, ForwardResult result) {
  gateway.TakeForwarded(std::unique_ptr<Delivery>(static_cast<Delivery*>(self.release())), std::move(result));
}

void Delivery::OnMayWait(std::unique_ptr<ForwardObserver> self, std::unique_ptr<ForwardRest> the_rest) {
  rest = std::move(the_rest);
  gateway.pool_.GiveBack(std::unique_ptr<Delivery>(static_cast<Delivery*>(self.release())), false);
}

// On the upstream's thread, which must not wait: an outcome goes to the writing thread, all else to a worker.
void Gateway::TakeForwarded(DeliveryPtr delivery, ForwardResult result) {
  const bool is_outcome = result.end == ForwardEnd::kAnswered && TakeOutcome(*delivery);
  if (is_outcome) meter_.AddUpstreamDuration(clock_.SteadyUs() - delivery->forwarded_at_us);
  // Of what was not sent nothing is known yet: it is forwarded over a new connection.
  if (result.end != ForwardEnd::kNotSent) delivery->forwarded = std::move(result);
  pool_.GiveBack(std::move(delivery), is_outcome);
}

// On a worker: all of it, or what is left of it.
ForwardResult Gateway::ForwardKeyed(Delivery& delivery) {
  if (!delivery.collector) PrepareKeyed(delivery);
  ForwardResult result;
  if (delivery.forwarded)
    result = *std::move(delivery.forwarded);
  else if (delivery.rest != nullptr)
    result = delivery.rest->Run();
  else
    result = UpstreamOf(*delivery.route).Forward(delivery.outbound, *delivery.collector);
  delivery.rest.reset();
  meter_.AddUpstreamDuration(clock_.SteadyUs() - delivery.forwarded_at_us);
  return result;
}

}  // namespace oncegate

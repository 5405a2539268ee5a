#include "control/event_stream.h"

#include <utility>

#include "control/json_writer.h"

namespace oncegate::control {
namespace {

void AppendEvent(std::string_view name, std::string_view json, std::string* out) {
  out->append("event: ").append(name).append("\ndata: ").append(json).append("\n\n");
}

std::string EventJson(const RequestEvent& event) {
  JsonWriter json;
  json.BeginObject().Name("at").TimeOrNull(event.at_ms, 0);
  json.Name("scope").StringOrNull(event.scope).Name("key").StringOrNull(event.key);
  json.Name("type").StringOrNull(event.type).Name("outcome").String(event.outcome.label());
  json.Name("status").Int(event.status).Name("duration_ms");
  event.duration_us ? json.Double(static_cast<double>(*event.duration_us) / 1000) : json.Null();
  json.Name("attempt");
  event.attempt > 0 ? json.Uint(event.attempt) : json.Null();
  json.Name("source_ip").StringOrNull(event.source_ip).EndObject();
  return json.Take();
}

}  // namespace

EventStream::EventStream(std::unique_ptr<EventFeed::Subscription> subscription, const Clock& clock)
    : subscription_(std::move(subscription)),
      clock_(clock),
      heartbeat_at_ms_(clock.SteadyMs() + kHeartbeatMs),
      dropped_told_at_ms_(clock.SteadyMs() - kDroppedEveryMs) {}

std::string EventStream::Take() {
  std::string out;
  if (!begun_) out = "retry: " + std::to_string(kRetryMs) + "\n\n";
  begun_ = true;
  const EventFeed::Batch batch = subscription_->Take();
  for (const RequestEvent& event : batch.events) AppendEvent("request", EventJson(event), &out);
  const int64_t now_ms = clock_.SteadyMs();
  if (batch.dropped > dropped_told_ && now_ms - dropped_told_at_ms_ >= kDroppedEveryMs) {
    JsonWriter json;
    json.BeginObject().Name("dropped").Uint(batch.dropped).EndObject();
    AppendEvent("dropped", json.text(), &out);
    dropped_told_ = batch.dropped;
    dropped_told_at_ms_ = now_ms;
  }
  if (now_ms >= heartbeat_at_ms_) {
    out += ": still here\n\n";
    heartbeat_at_ms_ = now_ms + kHeartbeatMs;
  }
  return out;
}

}  // namespace oncegate::control

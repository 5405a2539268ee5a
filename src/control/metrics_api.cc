// GET /metrics: the one place that knows the names of metrics. GET /v1/events.

#include "control/api_call.h"
#include "control/event_stream.h"
#include "control/metrics.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;
using Kind = MetricsWriter::Kind;

constexpr int64_t kMsInSecond = 1000;

void WriteRequests(const RequestMeter& meter, MetricsWriter* metrics) {
  metrics->Family("oncegate_requests_total", Kind::kCounter,
                  "Finished requests and claims, by the scope of their route and by outcome.");
  for (const auto& [scope, totals] : meter.TotalsByScope()) {
    for (size_t i = 0; i < totals.size(); ++i)
      metrics->Sample({{"scope", scope}, {"outcome", Outcome::FromIndex(i).label()}}, totals[i]);
  }
  metrics->Family("oncegate_request_duration_seconds", Kind::kHistogram,
                  "From the last byte of a request to its answer, by outcome.");
  for (size_t i = 0; i < Outcome::kCount; ++i) {
    const Outcome outcome = Outcome::FromIndex(i);
    const DurationCounts counts = meter.Durations(outcome);
    // Errors that never came would be thirty lines each.
    if (i < Outcome::kKinds || counts.count() > 0) metrics->Histogram({{"outcome", outcome.label()}}, counts);
  }
  metrics->Family(
      "oncegate_upstream_duration_seconds", Kind::kHistogram,
      "Forwarding one request to the application, until its answer was whole or it was clear that none comes.");
  metrics->Histogram({}, meter.UpstreamDurations());
  metrics->Family("oncegate_store_lookup_duration_seconds", Kind::kHistogram,
                  "Reading one record on behalf of a request.");
  metrics->Histogram({}, meter.LookupDurations());
  metrics->Family("oncegate_signature_failures_total", Kind::kCounter,
                  "Requests that were refused for their signature, by provider and reason.");
  for (const auto& [key, count] : meter.SignatureFailures())
    metrics->Sample({{"provider", key.first}, {"reason", SignatureReasonName(key.second)}}, count);
}

// By scope of the route, which the configuration bounds.
void WriteShadow(const ShadowCounters& shadow, MetricsWriter* metrics) {
  metrics->Family("oncegate_shadow_decisions_total", Kind::kCounter,
                  "Requests that --dedupe shadow let pass, by what would have become of them.");
  for (const auto& [scope, counts] : shadow.ByScope()) {
    for (size_t i = 0; i < counts.size(); ++i)
      metrics->Sample({{"scope", scope}, {"decision", ShadowDecisionName(static_cast<ShadowDecision>(i))}}, counts[i]);
  }
}

void WriteStore(const StoreStats& stats, MetricsWriter* metrics) {
  metrics->Family("oncegate_records", Kind::kGauge,
                  "Records by state; expired ones wait for their removal and are in no other state.");
  metrics->Sample({{"state", "in_progress"}}, stats.in_progress);
  metrics->Sample({{"state", "completed"}}, stats.completed);
  metrics->Sample({{"state", "unknown"}}, stats.unknown);
  metrics->Sample({{"state", "expired"}}, stats.expired);
  metrics->Gauge("oncegate_records_exact", "1 once the records were counted after the start, 0 before.",
                 stats.exact ? 1 : 0);
  metrics->Gauge("oncegate_store_disk_bytes", "What the store takes on disk.", static_cast<double>(stats.disk_bytes));
  metrics->Gauge("oncegate_store_wal_bytes", "The part of it that is the write-ahead log.",
                 static_cast<double>(stats.wal_bytes));
  metrics->Gauge("oncegate_store_memory_bytes", "What the store's caches take.",
                 static_cast<double>(stats.memory_bytes));
  if (stats.free_bytes) {
    metrics->Gauge("oncegate_store_free_bytes", "What is free on the store's file system.",
                   static_cast<double>(*stats.free_bytes));
  }
}

void WriteCleanups(const CleanupTotals& cleanups, MetricsWriter* metrics) {
  metrics->Counter("oncegate_cleanup_runs_total", "Cleanups, successful or not.", cleanups.runs);
  metrics->Counter("oncegate_cleanup_removed_total", "Records that cleanups have removed.", cleanups.removed_total);
  metrics->Counter("oncegate_cleanup_reclaimed_bytes_total", "Bytes on disk that cleanups have given back.",
                   cleanups.bytes_reclaimed_total);
  metrics->Gauge("oncegate_cleanup_last_success_timestamp_seconds",
                 "When a cleanup last succeeded; 0: not since the start.",
                 static_cast<double>(cleanups.last_success_at_ms) / kMsInSecond);
}

void WriteProcess(MetricsWriter* metrics) {
  const std::optional<ProcessUsage> usage = ReadProcessUsage();
  if (!usage) return;
  metrics->Family("process_cpu_seconds_total", Kind::kCounter, "User and system time spent.");
  metrics->Sample({}, usage->cpu_seconds);
  metrics->Gauge("process_resident_memory_bytes", "Memory in use.", static_cast<double>(usage->resident_bytes));
  metrics->Gauge("process_virtual_memory_bytes", "Memory mapped.", static_cast<double>(usage->virtual_bytes));
  metrics->Gauge("process_open_fds", "Open file descriptors.", static_cast<double>(usage->open_fds));
  metrics->Gauge("process_max_fds", "File descriptors that may be open.", static_cast<double>(usage->max_fds));
  metrics->Gauge("process_threads", "Threads.", static_cast<double>(usage->threads));
}

}  // namespace

ApiAnswer ControlApi::Metrics(const Call&) {
  MetricsWriter metrics;
  metrics.Family("oncegate_build_info", Kind::kGauge, "Always 1; the label says what runs.");
  metrics.Sample({{"version", parts_.version}}, uint64_t{1});
  metrics.Gauge("process_start_time_seconds", "When the process started.",
                static_cast<double>(started_wall_ms_) / kMsInSecond);
  if (parts_.gateway != nullptr) {
    metrics.Gauge("oncegate_in_flight", "Requests accepted and not yet answered.",
                  static_cast<double>(parts_.gateway->in_flight()));
    metrics.Gauge("oncegate_unstored_outcomes", "Outcomes that the store refused and that are kept in memory.",
                  static_cast<double>(parts_.gateway->housekeeper().unstored()));
    metrics.Gauge("oncegate_event_subscribers", "Who follows /v1/events.",
                  static_cast<double>(parts_.gateway->meter().feed().subscribers()));
  }
  metrics.Gauge("oncegate_connections", "Open connections of clients of the gateway.",
                static_cast<double>(parts_.connections ? parts_.connections() : 0));
  metrics.Gauge("oncegate_store_writable", "1 if claims can be written, otherwise 0.",
                parts_.store.CheckWritable().ok() ? 1 : 0);
  // While the store cannot say how it is, the rest must still be there to show why.
  const Result<StoreStats> stats = parts_.store.Stats();
  if (stats.ok()) {
    WriteStore(*stats, &metrics);
  } else {
    (void)StoreProblem(stats.status());
  }
  const CleanupTotals cleanups = parts_.store.Cleanups();
  WriteCleanups(cleanups, &metrics);
  if (parts_.gateway != nullptr) {
    WriteRequests(parts_.gateway->meter(), &metrics);
    metrics.Counter("oncegate_store_errors_total", "Calls of the store that failed, its own cleanups included.",
                    parts_.gateway->meter().store_errors() + cleanups.background_errors);
    WriteShadow(parts_.gateway->shadow(), &metrics);
  }
  WriteProcess(&metrics);
  ApiAnswer answer;
  answer.content_type = MetricsWriter::kContentType;
  answer.body = metrics.Take();
  return answer;
}

ApiAnswer ControlApi::Events(const Call&) {
  if (parts_.gateway == nullptr) return Problem(ErrorCode::kNotFound, "Nothing runs that could be followed.");
  auto subscription = parts_.gateway->meter().feed().Subscribe();
  if (subscription == nullptr) {
    return ProblemAnswer({.code = ErrorCode::kOverloaded,
                          .detail = "Enough clients follow the events.",
                          .retry_after_s = 5,
                          .status = {}});
  }
  ApiAnswer answer;
  answer.content_type = EventStream::kContentType;
  answer.stream = std::make_unique<EventStream>(std::move(subscription), parts_.clock);
  return answer;
}

}  // namespace oncegate::control

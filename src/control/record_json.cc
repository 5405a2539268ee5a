#include "control/record_json.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/hash.h"
#include "http/chars.h"
#include "http/head.h"

namespace oncegate::control {
namespace {

// Signatures are as good as credentials while their time tolerance lasts.
constexpr std::array<std::string_view, 11> kHiddenParts = {
    "transmission-sig", "signature", "hmac",    "authorization", "cookie",   "token",
    "api-key",          "apikey",    "api_key", "secret",        "password",
};

// Field lines, each ended by CRLF, as [[name, value], …].
void WriteFields(std::string_view lines, JsonWriter* json) {
  json->Name("headers").BeginArray();
  while (!lines.empty()) {
    const size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsShownField(line.substr(0, colon))) continue;
    json->BeginArray().String(line.substr(0, colon)).String(http::TrimSpaces(line.substr(colon + 1))).EndArray();
  }
  json->EndArray();
}

constexpr std::string_view kHiddenValue = "(hidden)";

bool NamesSignature(std::string_view name) {
  constexpr std::string_view kEnd = "signature";
  return name.size() >= kEnd.size() && http::EqualsIgnoreCase(name.substr(name.size() - kEnd.size()), kEnd);
}

// The end of the JSON string that begins at `at` (behind its last quote), or npos.
size_t EndOfString(std::string_view text, size_t at) {
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// Goes from string to string, so that also what is not quite JSON is gone through.
std::string HideInJson(std::string_view text) {
  std::string out;
  size_t copied = 0;
  for (size_t at = text.find('"'); at != std::string_view::npos; at = text.find('"', at)) {
    const size_t end = EndOfString(text, at);
    if (end == std::string_view::npos) break;
    const std::string_view name = text.substr(at + 1, end - at - 2);
    const size_t colon = text.find_first_not_of(" \t\r\n", end);
    at = end;
    if (colon == std::string_view::npos || text[colon] != ':' || !NamesSignature(name)) continue;
    const size_t value = text.find_first_not_of(" \t\r\n", colon + 1);
    if (value == std::string_view::npos || text[value] != '"') continue;
    const size_t value_end = EndOfString(text, value);
    if (value_end == std::string_view::npos) break;
    out.append(text.substr(copied, value + 1 - copied)).append(kHiddenValue).push_back('"');
    at = copied = value_end;
  }
  return out.append(text.substr(copied));
}

std::string HideInForm(std::string_view text) {
  std::string out;
  while (true) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && NamesSignature(pair.substr(0, equals))) {
      out.append(pair.substr(0, equals + 1)).append(kHiddenValue);
    } else {
      out.append(pair);
    }
    if (end == text.size()) return out;
    out.push_back('&');
    text.remove_prefix(end + 1);
  }
}

void WriteBody(std::string_view body, bool kept, JsonWriter* json) {
  if (!kept) {
    json->Name("body").Null();
  } else {
    json->Body(body);
  }
}

void WriteRequest(const StoredRequest& request, const RecordView& view, JsonWriter* json) {
  json->BeginObject();
  json->Name("method").String(request.method);
  json->Name("target").String(request.target);
  WriteFields(request.fields, json);
  if (view.with_bodies) WriteBody(ShownBody(request.body), request.body_kept, json);
  json->EndObject();
}

void WriteResponse(const StoredResponse& response, const RecordView& view, JsonWriter* json) {
  json->BeginObject();
  json->Name("status").Uint(response.status);
  const size_t status_line_end = response.head.find("\r\n");
  const std::string_view head = response.head;
  WriteFields(status_line_end == std::string::npos ? std::string_view() : head.substr(status_line_end + 2), json);
  if (view.with_bodies) WriteBody(response.body, response.body_kept, json);
  json->EndObject();
}

void WriteHistory(const std::vector<HistoryEntry>& history, JsonWriter* json) {
  json->Name("history").BeginArray();
  for (const HistoryEntry& entry : history) {
    json->BeginObject().Name("at").TimeOrNull(entry.at_ms, 0).Name("by").StringOrNull(entry.by);
    json->Name("action").String(HistoryActionName(entry.action)).Name("detail").String(entry.detail).EndObject();
  }
  json->EndArray();
}

// Counts by outcome, under the names of the outcomes with '_' for '-'.
void WriteRequests(const RequestMeter* meter, JsonWriter* json) {
  json->BeginObject();
  for (size_t i = 0; i < Outcome::kCount; ++i) {
    const Outcome outcome = Outcome::FromIndex(i);
    json->Name(outcome.label()).Uint(meter == nullptr ? 0 : meter->Total(outcome));
  }
  json->EndObject();
}

void WriteShadow(const ShadowCounters::Counts& counts, JsonWriter* json) {
  json->BeginObject();
  for (size_t i = 0; i < counts.size(); ++i)
    json->Name(ShadowDecisionName(static_cast<ShadowDecision>(i))).Uint(counts[i]);
  json->EndObject();
}

void WriteHitRate(const RequestMeter* meter, JsonWriter* json) {
  const uint64_t replayed = meter == nullptr ? 0 : meter->Total(Outcome::kReplayed);
  const uint64_t answered = replayed + (meter == nullptr ? 0 : meter->Total(Outcome::kExecuted));
  if (answered == 0) {
    json->Null();
  } else {
    json->Double(static_cast<double>(replayed) / static_cast<double>(answered));
  }
}

void WriteQuantiles(const DurationCounts& counts, JsonWriter* json) {
  json->BeginObject();
  for (const auto& [name, part] : {std::pair("p50", 0.5), std::pair("p95", 0.95), std::pair("p99", 0.99)}) {
    const std::optional<double> us = counts.QuantileUs(part);
    json->Name(name);
    us ? json->Double(*us / 1000) : json->Null();
  }
  json->EndObject();
}

// In milliseconds.
void WriteLatency(const LatencyWindow::Reading& latency, JsonWriter* json) {
  json->BeginObject().Name("window_seconds").Double(static_cast<double>(latency.window_ms) / 1000);
  json->Name("replayed");
  WriteQuantiles(latency.replayed, json);
  json->Name("executed");
  WriteQuantiles(latency.executed, json);
  json->EndObject();
}

void WriteCounts(const StoreStats& stats, JsonWriter* json) {
  json->Name("records").BeginObject();
  json->Name("active").Uint(stats.active).Name("expired").Uint(stats.expired);
  json->Name("in_progress").Uint(stats.in_progress).Name("completed").Uint(stats.completed);
  json->Name("unknown").Uint(stats.unknown).EndObject();

  json->Name("by_type").BeginArray();
  for (const TypeCount& count : stats.by_type) {
    json->BeginObject().Name("type").String(count.type);
    json->Name("active").Uint(count.active).Name("expired").Uint(count.expired).EndObject();
  }
  json->EndArray();

  json->Name("expiring").BeginArray();
  for (const ExpiringCount& bucket : stats.expiring) {
    json->BeginObject().Name("until").TimeOrNull(bucket.until_ms, kNever);
    json->Name("count").Uint(bucket.count).EndObject();
  }
  json->EndArray();
}

void WriteCleanups(const CleanupTotals& cleanups, JsonWriter* json) {
  json->Name("cleanup").BeginObject();
  json->Name("last_run_at").TimeOrNull(cleanups.last_run_at_ms, 0);
  json->Name("runs").Uint(cleanups.runs);
  json->Name("removed_total").Uint(cleanups.removed_total);
  json->Name("bytes_reclaimed_total").Uint(cleanups.bytes_reclaimed_total);
  json->Name("last_error").StringOrNull(cleanups.last_error).EndObject();
}

}  // namespace

bool IsShownField(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), http::ToLower);
  return std::none_of(kHiddenParts.begin(), kHiddenParts.end(),
                      [&lower](std::string_view part) { return lower.find(part) != std::string::npos; });
}

std::string ShownBody(std::string_view body) {
  constexpr std::string_view kMark = "ignature";
  const auto same = [](char a, char b) { return http::ToLower(a) == b; };
  if (std::search(body.begin(), body.end(), kMark.begin(), kMark.end(), same) == body.end()) return std::string(body);
  const size_t first = body.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
  return json ? HideInJson(body) : HideInForm(body);
}

RecordState EffectiveState(const Record& record, const RecordView& view) {
  if (record.state != RecordState::kInProgress) return record.state;
  const bool alive = record.owner == ClaimOwner::kGateway ? view.executing : record.lease_expires_at_ms > view.now_ms;
  return alive ? RecordState::kInProgress : RecordState::kUnknown;
}

void WriteRecord(const Record& record, const RecordView& view, JsonWriter* json) {
  json->BeginObject();
  json->Name("id").String(FormatUuid(record.id));
  json->Name("scope").String(record.key.scope());
  json->Name("key").String(record.key.key());
  json->Name("type").String(record.type);
  json->Name("state").String(RecordStateName(EffectiveState(record, view)));
  json->Name("attempt").Uint(record.attempt);
  json->Name("created_at").TimeOrNull(record.created_at_ms, 0);
  json->Name("completed_at").TimeOrNull(record.completed_at_ms, 0);
  json->Name("expires_at").TimeOrNull(record.expires_at_ms, kNever);
  json->Name("source_ip").StringOrNull(record.source_ip);
  json->Name("fingerprint");
  if (record.fingerprint) {
    const Sha256Digest& digest = record.fingerprint->digest;
    json->String(ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()}));
  } else {
    json->Null();
  }
  if (record.fingerprint) json->Name("fingerprint_recipe").String(FingerprintRecipeName(record.fingerprint->recipe));
  json->Name("labels").BeginObject();
  for (const auto& [name, value] : record.labels) json->Name(name).String(value);
  json->EndObject();
  const Housekeeper::Replays& pending = view.pending_replays;
  json->Name("replays").Uint(record.replays + pending.count);
  json->Name("first_replay_at");
  json->TimeOrNull(record.first_replay_at_ms != 0 ? record.first_replay_at_ms : pending.first_at_ms, 0);
  json->Name("last_replay_at").TimeOrNull(std::max(record.last_replay_at_ms, pending.last_at_ms), 0);
  WriteHistory(record.history, json);
  json->Name("request");
  record.request ? WriteRequest(*record.request, view, json) : static_cast<void>(json->Null());
  json->Name("response");
  record.response ? WriteResponse(*record.response, view, json) : static_cast<void>(json->Null());
  json->EndObject();
}

void WriteStats(const StoreStats& stats, const CleanupTotals& cleanups, const std::optional<RestoredState>& restored,
                const std::optional<ProcessStats>& process, JsonWriter* json) {
  json->BeginObject();
  json->Name("now").TimeOrNull(stats.now_ms, kNever);
  json->Name("uptime_seconds");
  process ? json->Int(process->uptime_seconds) : json->Null();
  WriteCounts(stats, json);
  json->Name("requests");
  process ? WriteRequests(process->meter, json) : static_cast<void>(json->Null());
  json->Name("hit_rate");
  process ? WriteHitRate(process->meter, json) : static_cast<void>(json->Null());
  json->Name("latency");
  process && process->latency ? WriteLatency(*process->latency, json) : static_cast<void>(json->Null());
  WriteCleanups(cleanups, json);
  json->Name("store").BeginObject();
  json->Name("disk_bytes").Uint(stats.disk_bytes).Name("wal_bytes").Uint(stats.wal_bytes);
  json->Name("memory_bytes").Uint(stats.memory_bytes).Name("free_bytes");
  stats.free_bytes ? json->Uint(*stats.free_bytes) : json->Null();
  json->EndObject();
  if (restored) {
    json->Name("restored").BeginObject();
    json->Name("policy").String(restored->policy == RestoredPolicy::kHold ? "hold" : "accept");
    json->Name("taken_at").TimeOrNull(restored->taken_at_ms, 0);
    json->Name("until").TimeOrNull(restored->until_ms, kNever).EndObject();
  }
  json->Name("exact").Bool(stats.exact);
  json->Name("shadow");
  process ? WriteShadow(process->shadow, json) : static_cast<void>(json->Null());
  json->EndObject();
}

}  // namespace oncegate::control

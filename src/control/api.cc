#include "control/api.h"

#include <algorithm>
#include <charconv>

#include "control/api_call.h"
#include "control/members.h"
#include "control/openapi.h"
#include "control/record_json.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;

bool ParseNumber(std::string_view text, size_t* number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc{} && rest == end;
}

// The first parameter that an operation does not know, or nothing.
std::optional<std::string> UnknownParameter(const Target& target, const std::vector<std::string_view>& known) {
  for (const auto& [name, value] : target.query) {
    if (std::find(known.begin(), known.end(), name) == known.end()) return name;
  }
  return std::nullopt;
}

// Reads what a listing is limited to. InvalidArgument names the parameter and what would be right.
Status ReadFilter(const Target& target, ListFilter* filter) {
  filter->scope = target.Find("scope").value_or("");
  if (!filter->scope.empty() && !IsRecordScope(filter->scope))
    return InvalidArgument("'scope' is 1 to 64 characters of A-Z a-z 0-9 . _ -");
  filter->type = target.Find("type").value_or("");
  filter->prefix = target.Find("prefix").value_or("");
  if (!filter->prefix.empty() && !IsValidKey(filter->prefix))
    return InvalidArgument("'prefix' has characters that no key has; a '+' is written as %2B");
  if (const auto state = target.Find("state"); state && !state->empty()) {
    filter->state = ParseRecordState(*state);
    if (!filter->state) return InvalidArgument("'state' is in_progress, completed or unknown");
  }
  if (const auto label = target.Find("label"); label && !label->empty()) {
    const size_t colon = label->find(':');
    if (colon == 0 || colon == std::string::npos) return InvalidArgument("'label' is NAME:VALUE");
    filter->label.emplace(label->substr(0, colon), label->substr(colon + 1));
  }
  return OkStatus();
}

// For a record whose bodies cannot be read.
Record WithoutBodies(Record record) {
  if (record.request) record.request->body_kept = false;
  if (record.response) record.response->body_kept = false;
  return record;
}

}  // namespace

ApiAnswer ProblemAnswer(const http::Error& error) {
  ApiAnswer answer;
  answer.status = error.status.value_or(http::ErrorStatus(error.code));
  answer.content_type = http::kProblemContentType;
  answer.body = http::ProblemJson(error);
  if (error.retry_after_s) answer.fields.emplace_back("Retry-After", std::to_string(*error.retry_after_s));
  if (error.code == ErrorCode::kUnauthorized) answer.fields.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

struct ControlApi::Operation {
  std::string_view method;
  std::string_view pattern;  // segments; '*' stands for any one
  ApiAnswer (ControlApi::*answer)(const Call&);
  std::vector<std::string_view> parameters;

  [[nodiscard]] bool Matches(std::string_view its_method, const Target& target) const {
    if (its_method != method) return false;
    std::string_view rest = pattern;
    for (const std::string& segment : target.segments) {
      if (rest.empty()) return false;
      const size_t end = std::min(rest.find('/', 1), rest.size());
      const std::string_view wanted = rest.substr(1, end - 1);
      if (wanted != "*" && wanted != segment) return false;
      rest.remove_prefix(end);
    }
    return rest.empty();
  }
};

const ControlApi::Operation ControlApi::kOperations[] = {
    {"GET", "/healthz", &ControlApi::Healthz, {}},
    {"GET", "/readyz", &ControlApi::Readyz, {}},
    {"GET", "/", &ControlApi::Dashboard, {}},
    {"GET", "/assets/*", &ControlApi::Dashboard, {}},
    {"GET", "/v1/session", &ControlApi::Session, {}},
    {"GET", "/openapi.json", &ControlApi::OpenApi, {}},
    {"GET", "/metrics", &ControlApi::Metrics, {}},
    {"GET", "/v1/stats", &ControlApi::GetStats, {}},
    {"GET", "/v1/events", &ControlApi::Events, {}},
    {"GET",
     "/v1/records",
     &ControlApi::ListRecords,
     {"scope", "type", "state", "prefix", "label", "limit", "cursor", "bodies"}},
    {"GET", "/v1/records/*/*", &ControlApi::GetRecord, {}},
    {"DELETE", "/v1/records/*/*", &ControlApi::ReleaseRecord, {"force"}},
    {"POST", "/v1/records/*/*/resolve", &ControlApi::ResolveRecord, {}},
    {"POST", "/v1/records/*/*/redeliver", &ControlApi::RedeliverRecord, {"force"}},
    {"POST", "/v1/claims", &ControlApi::Claim, {}},
    {"POST", "/v1/claims/*/complete", &ControlApi::CompleteClaim, {}},
    {"POST", "/v1/claims/*/renew", &ControlApi::RenewClaim, {}},
    {"POST", "/v1/claims/*/release", &ControlApi::ReleaseClaim, {}},
    {"POST", "/v1/cleanup", &ControlApi::Cleanup, {}},
    {"POST", "/v1/backups", &ControlApi::Backup, {}},
    {"POST", "/v1/verify", &ControlApi::Verify, {}},
    {"POST", kImportPath, &ControlApi::Import, {"scope"}},
};

ControlApi::ControlApi(const ApiParts& parts)
    : parts_(parts),
      started_ms_(parts.clock.SteadyMs()),
      started_wall_ms_(parts.clock.WallMs()),
      latency_(started_ms_) {}

ApiAnswer ControlApi::Answer(const ApiRequest& request) {
  const Result<Target> target = ParseTarget(request.target);
  if (!target.ok()) return Problem(ErrorCode::kBadRequest, target.status().message());
  const std::string_view method = request.method == "HEAD" ? "GET" : request.method;
  for (const Operation& operation : kOperations) {
    if (!operation.Matches(method, *target)) continue;
    if (const auto unknown = UnknownParameter(*target, operation.parameters))
      return Problem(
          ErrorCode::kBadRequest,
          "The query parameter " + Quoted(*unknown) + " is not known here" +
              (operation.parameters.empty() ? "; there are none" : "; known are: " + Listed(operation.parameters)));
    return (this->*operation.answer)({*target, request.body, request.actor, request.read_only, request.if_none_match,
                                      request.client_ip, request.trace, request.client_gone, request.may_come_later});
  }
  return Problem(ErrorCode::kNotFound, "There is no such operation.");
}

std::vector<std::string> ControlApi::Operations() {
  std::vector<std::string> operations;
  for (const Operation& operation : kOperations)
    operations.push_back(std::string(operation.method) + " " + std::string(operation.pattern));
  return operations;
}

ApiAnswer ControlApi::OpenApi(const Call&) {
  ApiAnswer answer;
  answer.body = OpenApiText();
  return answer;
}

ApiAnswer ControlApi::Healthz(const Call&) {
  ApiAnswer answer;
  answer.body = R"({"status":"ok"})";
  return answer;
}

ApiAnswer ControlApi::Readyz(const Call&) {
  const std::string reason = ReasonNotReady();
  JsonWriter json;
  json.BeginObject().Name("status").String(reason.empty() ? "ready" : "not ready");
  json.Name("reason").StringOrNull(reason);
  if (const auto restored = parts_.store.Restored())
    json.Name("restored").String(restored->policy == RestoredPolicy::kHold ? "hold" : "accept");
  json.Name("upstream").String(ProbeUpstream()).EndObject();
  return Json(std::move(json), reason.empty() ? 200 : 503);
}

// Open to everybody who reaches the listener, so that it says what is wrong but not where.
std::string ControlApi::ReasonNotReady() {
  if (draining_ || (parts_.gateway != nullptr && parts_.gateway->draining())) return "draining";
  const Status status = parts_.store.CheckWritable();
  if (status.ok()) return {};
  parts_.logger.Log(LogLevel::kWarn, LogEvent::kError, "error in idempotency store", {{"reason", status.message()}});
  if (status.code() == StatusCode::kNoSpace) return "the disk of the store is full or nearly so";
  return status.code() == StatusCode::kCorruption ? "the store is damaged" : "the store cannot be written";
}

// However often readiness is asked for, the application sees one connection a second.
std::string ControlApi::ProbeUpstream() {
  if (!parts_.probe_upstream) return "none";
  const std::lock_guard lock(probe_mutex_);
  const int64_t now_ms = parts_.clock.SteadyMs();
  if (!probed_at_ms_ || now_ms - *probed_at_ms_ >= kProbeCachedMs) {
    const Status status = parts_.probe_upstream(kProbeTimeoutMs);
    probe_result_ = status.ok() ? "reachable" : "unreachable: " + status.message();
    probed_at_ms_ = parts_.clock.SteadyMs();
  }
  return probe_result_;
}

// Whom a token stands for, so that a page need not offer what would be refused.
ApiAnswer ControlApi::Session(const Call& call) {
  JsonWriter json;
  json.BeginObject().Name("name").StringOrNull(call.actor);
  json.Name("read_only").Bool(call.read_only).EndObject();
  return Json(std::move(json));
}

ApiAnswer ControlApi::GetStats(const Call&) {
  const Result<StoreStats> stats = parts_.store.Stats();
  if (!stats.ok()) return StoreProblem(stats.status());
  std::optional<ProcessStats> process;
  if (parts_.running) {
    process = ProcessStats{.uptime_seconds = (parts_.clock.SteadyMs() - started_ms_) / 1000,
                           .meter = parts_.gateway == nullptr ? nullptr : &parts_.gateway->meter(),
                           .latency = {}};
    if (process->meter != nullptr) process->latency = latency_.Read(*process->meter, parts_.clock.SteadyMs());
    if (parts_.gateway != nullptr) process->shadow = parts_.gateway->shadow().Totals();
  }
  JsonWriter json;
  WriteStats(*stats, parts_.store.Cleanups(), parts_.store.Restored(), process, &json);
  return Json(std::move(json));
}

ApiAnswer ControlApi::ListRecords(const Call& call) {
  ListFilter filter;
  if (const Status status = ReadFilter(call.target, &filter); !status.ok())
    return Problem(ErrorCode::kBadRequest, status.message());
  size_t limit = kListLimitDefault;
  if (const auto text = call.target.Find("limit"); text && !text->empty()) {
    if (!ParseNumber(*text, &limit) || limit < 1 || limit > Store::kListLimitMax)
      return Problem(ErrorCode::kBadRequest, "'limit' is a number from 1 to 1000");
  }
  const std::string bodies = call.target.Find("bodies").value_or("false");
  if (bodies != "true" && bodies != "false") return Problem(ErrorCode::kBadRequest, "'bodies' is true or false");
  if (bodies == "true" && call.read_only)
    return Problem(ErrorCode::kUnauthorized, "A token that may only read sees no bodies.");
  if (bodies == "true") return ListWhole(filter, call.target.Find("cursor").value_or(""), limit);
  const Result<RecordPage> page = parts_.store.List(filter, call.target.Find("cursor").value_or(""), limit);
  if (!page.ok() && page.status().code() == StatusCode::kInvalidArgument)
    return Problem(ErrorCode::kBadRequest, "'cursor' is not the next_cursor of an earlier page");
  if (!page.ok()) return StoreProblem(page.status());

  JsonWriter json;
  json.BeginObject().Name("records").BeginArray();
  for (const Record& record : page->records) WriteOne(record, false, &json);
  json.EndArray().Name("next_cursor").StringOrNull(page->next_cursor).EndObject();
  return Json(std::move(json));
}

// One by one, because only then a page can end anywhere.
ApiAnswer ControlApi::ListWhole(const ListFilter& filter, std::string cursor, size_t limit) {
  JsonWriter json;
  json.BeginObject().Name("records").BeginArray();
  for (size_t i = 0; i < limit && json.text().size() < kWholePageBytes; ++i) {
    const Result<RecordPage> page = parts_.store.List(filter, cursor, 1);
    if (!page.ok() && page.status().code() == StatusCode::kInvalidArgument)
      return Problem(ErrorCode::kBadRequest, "'cursor' is not the next_cursor of an earlier page");
    if (!page.ok()) return StoreProblem(page.status());
    cursor = page->next_cursor;
    for (const Record& listed : page->records) {
      const Result<std::optional<Record>> record = parts_.store.Get(listed.key, RecordParts::kAll);
      // One damaged body must not keep the others from being saved.
      if (record.status().code() == StatusCode::kCorruption) {
        (void)StoreProblem(record.status());
        WriteOne(WithoutBodies(listed), true, &json);
        continue;
      }
      if (!record.ok()) return StoreProblem(record.status());
      if (record->has_value()) WriteOne(**record, true, &json);
    }
    if (cursor.empty()) break;
  }
  json.EndArray().Name("next_cursor").StringOrNull(cursor).EndObject();
  return Json(std::move(json));
}

void ControlApi::WriteOne(const Record& record, bool with_bodies, JsonWriter* json) {
  Housekeeper::Replays pending = PendingReplays(record.key);
  if (pending.last_at_ms < record.created_at_ms) pending = {};  // of a record that has gone
  const RecordView view{.executing = Executes(record.key),
                        .pending_replays = pending,
                        .now_ms = parts_.store.NowMs(),
                        .with_bodies = with_bodies};
  WriteRecord(record, view, json);
}

ApiAnswer ControlApi::GetRecord(const Call& call) {
  if (!IsRecordScope(call.scope()) || !IsValidKey(call.key()))
    return Problem(ErrorCode::kNotFound, "No record can have this scope and key.");
  const ScopedKey key = call.scoped_key();
  const Result<std::optional<Record>> record = parts_.store.Get(key, RecordParts::kAll);
  if (!record.ok()) return StoreProblem(record.status());
  if (!record->has_value()) return Problem(ErrorCode::kNotFound, "There is no record of this key.");
  JsonWriter json;
  WriteOne(**record, !call.read_only, &json);
  return Json(std::move(json));
}

ApiAnswer ControlApi::ReleaseRecord(const Call& call) {
  if (!IsRecordScope(call.scope()) || !IsValidKey(call.key()))
    return Problem(ErrorCode::kNotFound, "No record can have this scope and key.");
  const std::string force = call.target.Find("force").value_or("false");
  if (force != "true" && force != "false") return Problem(ErrorCode::kBadRequest, "'force' is true or false");
  const ScopedKey key = call.scoped_key();
  const Result<bool> erased = parts_.gateway != nullptr ? parts_.gateway->Forget(key, force == "true")
                                                        : parts_.store.Erase(key, force == "true", false);
  if (!erased.ok() && erased.status().code() == StatusCode::kConflict)
    return Problem(ErrorCode::kInFlight, "The key is being executed now; force=true releases it all the same.");
  if (!erased.ok()) return StoreProblem(erased.status());
  if (!*erased) return Problem(ErrorCode::kNotFound, "There is no record of this key.");
  parts_.logger.Log(
      LogLevel::kInfo, LogEvent::kReleased, "idempotency key released by an operator",
      {{"key", key.key()}, {"scope", key.scope()}, {"force", force}, {"by", call.actor.empty() ? "-" : call.actor}});
  ApiAnswer answer;
  answer.status = 204;
  answer.content_type.clear();
  return answer;
}

bool ControlApi::Executes(const ScopedKey& key) const {
  return parts_.gateway != nullptr && parts_.gateway->IsExecuting(key);
}

Housekeeper::Replays ControlApi::PendingReplays(const ScopedKey& key) const {
  return parts_.gateway == nullptr ? Housekeeper::Replays{} : parts_.gateway->housekeeper().PendingReplays(key);
}

// The log says what happened; the answer does not, for messages of the store name files.
ApiAnswer ControlApi::StoreProblem(const Status& status) {
  if (parts_.gateway != nullptr) parts_.gateway->meter().CountStoreError();
  parts_.logger.Log(LogLevel::kError, LogEvent::kError, "error in idempotency store", {{"reason", status.message()}});
  return ProblemAnswer(http::Error{.code = ErrorCode::kStoreUnavailable,
                                   .detail = "The store cannot answer; the log says why.",
                                   .retry_after_s = 5,
                                   .status = {}});
}

}  // namespace oncegate::control

// What operators do with keys whose outcome is unknown: resolve them, or have them delivered again.

#include <simdjson.h>

#include "control/api_call.h"
#include "control/members.h"
#include "control/record_json.h"
#include "control/response_json.h"
#include "gateway/messages.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;

struct Resolution {
  bool completed = false;
  std::optional<StoredResponse> response;
};

// What retries of a key get that an operator has completed without saying more.
constexpr std::string_view kResolvedJson = R"({"status":200})";

Result<Resolution> ReadResolution(std::string_view body) {
  std::string as;
  std::optional<std::string> response;
  const Members members{{"as",
                         [&as](const simdjson::dom::element& value) {
                           std::string_view text;
                           if (value.get(text) != simdjson::SUCCESS || (text != "completed" && text != "released"))
                             return InvalidArgument("'as' is \"completed\" or \"released\"");
                           as.assign(text);
                           return OkStatus();
                         }},
                        {"response", [&response](const simdjson::dom::element& value) {
                           response = simdjson::minify(value);
                           return OkStatus();
                         }}};
  const std::string_view what = R"(The body is not an object such as {"as":"completed"}.)";
  if (Status status = ReadMembers(body, what, members); !status.ok()) return status;
  if (as.empty()) return InvalidArgument("'as' is missing: \"completed\" or \"released\"");
  Resolution resolution{.completed = as == "completed", .response = {}};
  if (response && !resolution.completed) return InvalidArgument("'response' goes with \"completed\" only");
  if (!resolution.completed) return resolution;
  Result<StoredResponse> parsed = ParseResponseJson(response.value_or(std::string(kResolvedJson)));
  if (!parsed.ok()) return InvalidArgument("'response': " + parsed.status().message());
  resolution.response = *std::move(parsed);
  return resolution;
}

ApiAnswer InterventionProblem(Intervention why) {
  switch (why) {
    case Intervention::kNoRecord:
      return Problem(ErrorCode::kNotFound, "There is no record of this key.");
    case Intervention::kInFlight:
      return Problem(ErrorCode::kInFlight, "The key is being executed now.");
    case Intervention::kDone:
    case Intervention::kSettled:
      return Problem(ErrorCode::kBadRequest, "The outcome of this key is known; there is nothing to settle.");
    case Intervention::kNotRedeliverable:
      break;
  }
  return Problem(ErrorCode::kNotRedeliverable, "The request of this key was not kept whole.");
}

std::string_view OutcomeOf(std::string_view head) {
  const std::string name = "\r\n" + std::string(kOutcomeField) + ": ";
  const size_t at = head.find(name);
  if (at == std::string_view::npos) return {};
  head.remove_prefix(at + name.size());
  return head.substr(0, head.find("\r\n"));
}

}  // namespace

void ControlApi::LogIntervention(const Call& call, LogEvent event, std::string_view what) {
  parts_.logger.Log(LogLevel::kInfo, event, what,
                    {{"key", call.key()}, {"scope", call.scope()}, {"by", call.actor.empty() ? "-" : call.actor}});
}

ApiAnswer ControlApi::ResolveRecord(const Call& call) {
  if (!IsRecordScope(call.scope()) || !IsValidKey(call.key()))
    return Problem(ErrorCode::kNotFound, "No record can have this scope and key.");
  Result<Resolution> resolution = ReadResolution(call.body);
  if (!resolution.ok()) return Problem(ErrorCode::kBadRequest, resolution.status().message());
  const ScopedKey key = call.scoped_key();
  const Result<Intervention> done = parts_.gateway != nullptr
                                        ? parts_.gateway->Resolve(key, std::move(resolution->response), call.actor)
                                        : parts_.store.Resolve(key, std::move(resolution->response), false, call.actor);
  if (!done.ok()) return StoreProblem(done.status());
  if (*done != Intervention::kDone) return InterventionProblem(*done);
  LogIntervention(call, resolution->completed ? LogEvent::kResolved : LogEvent::kReleased,
                  resolution->completed ? "unknown outcome resolved as completed by an operator"
                                        : "unknown outcome resolved as released by an operator");
  ApiAnswer answer;
  answer.status = 204;
  answer.content_type.clear();
  return answer;
}

ApiAnswer ControlApi::RedeliverRecord(const Call& call) {
  if (!IsRecordScope(call.scope()) || !IsValidKey(call.key()))
    return Problem(ErrorCode::kNotFound, "No record can have this scope and key.");
  const std::string force = call.target.Find("force").value_or("false");
  if (force != "true" && force != "false") return Problem(ErrorCode::kBadRequest, "'force' is true or false");
  if (!call.body.empty() && call.body != "{}") return Problem(ErrorCode::kBadRequest, "This request has no body.");
  if (parts_.gateway == nullptr || parts_.gateway->draining())
    return Problem(ErrorCode::kDraining, "This server sends nothing now.");
  // Each holds a worker of the listener for as long as the application takes.
  if (redelivering_.fetch_add(1) >= kRedeliveriesMax) {
    redelivering_.fetch_sub(1);
    return Problem(ErrorCode::kOverloaded, "Enough redeliveries are under way.");
  }
  LogIntervention(call, LogEvent::kRedelivered, "redelivery asked for by an operator");
  Result<std::variant<Intervention, Reply>> result =
      parts_.gateway->Redeliver(call.scoped_key(), force == "true", call.actor);
  redelivering_.fetch_sub(1);
  if (!result.ok()) return StoreProblem(result.status());
  if (const auto* why = std::get_if<Intervention>(&*result)) return InterventionProblem(*why);
  return RedeliveryAnswer(call, std::get<Reply>(*std::move(result)));
}

ApiAnswer ControlApi::RedeliveryAnswer(const Call& call, Reply reply) {
  if (reply.status == 0) return Problem(ErrorCode::kUpstreamBroken, "The application's answer broke off.");
  if (OutcomeOf(reply.head) != Outcome(Outcome::kExecuted).name()) {
    ApiAnswer answer;
    answer.status = reply.status;
    answer.content_type = http::kProblemContentType;
    answer.body = std::move(reply.body);
    return answer;
  }
  const Result<std::optional<Record>> record = parts_.store.Get(call.scoped_key(), RecordParts::kReplay);
  if (!record.ok()) return StoreProblem(record.status());
  JsonWriter json;
  json.BeginObject().Name("outcome").String("executed").Name("status").Int(reply.status).Name("state");
  if (record->has_value()) {
    const RecordView view{.executing = Executes(call.scoped_key()),
                          .pending_replays = {},
                          .now_ms = parts_.store.NowMs(),
                          .with_bodies = false};
    json.String(RecordStateName(EffectiveState(**record, view))).Name("attempt").Uint((*record)->attempt);
  } else {
    json.Null().Name("attempt").Null();
  }
  json.EndObject();
  return Json(std::move(json));
}

}  // namespace oncegate::control

// The sidecar API: claims, and what their owners do with them.

#include <simdjson.h>

#include <algorithm>
#include <cctype>

#include "base/json_text.h"
#include "base/units.h"
#include "control/api_call.h"
#include "control/members.h"
#include "control/response_json.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;
using simdjson::dom::element;

constexpr int64_t kLeaseDefaultMs = 60'000;
constexpr int64_t kLeaseMsMin = 1'000;
constexpr int64_t kLeaseMsMax = 24LL * 3600 * 1000;
constexpr int64_t kWaitMsMax = 60'000;
constexpr int64_t kTtlDefaultMs = 24LL * 3600 * 1000;
constexpr int64_t kTtlMsMin = 1'000;
constexpr size_t kClaimIdBytesMax = 128;
constexpr size_t kFingerprintBytesMax = 1024;
constexpr size_t kLabelNameBytesMax = 64;
constexpr std::string_view kNoObject = "The body is not a JSON object.";

// What a claim asks for.
struct ClaimWish {
  ClaimRequest claim;
  RequestFacts facts;
  int64_t wait_ms = 0;
};

Status ReadText(std::string_view name, const element& value, size_t bytes_max, std::string* text) {
  std::string_view view;
  if (value.get(view) != simdjson::SUCCESS) return InvalidArgument(Quoted(name) + " is not a string");
  if (!IsPresentable(view, bytes_max))
    return InvalidArgument(Quoted(name) + " is not 1 to " + std::to_string(bytes_max) + " printable characters");
  text->assign(view);
  return OkStatus();
}

Status ReadDuration(std::string_view name, const element& value, int64_t ms_min, int64_t ms_max, int64_t* ms) {
  std::string_view view;
  if (value.get(view) != simdjson::SUCCESS)
    return InvalidArgument(Quoted(name) + R"( is not a duration such as "60s")");
  const Result<int64_t> parsed = ParseDurationMs(view);
  if (!parsed.ok()) return InvalidArgument(Quoted(name) + ": " + parsed.status().message());
  if (*parsed < ms_min || *parsed > ms_max)
    return InvalidArgument(Quoted(name) + " is not from " + FormatDurationMs(ms_min) + " to " +
                           FormatDurationMs(ms_max));
  *ms = *parsed;
  return OkStatus();
}

Status ReadLabels(const element& value, Labels* labels) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return InvalidArgument("'labels' is not an object of strings");
  for (const auto& [name, text] : object) {
    if (labels->size() == kLabelsMax) return InvalidArgument("'labels' are more than " + std::to_string(kLabelsMax));
    if (!IsPresentable(name, kLabelNameBytesMax) || name.find(':') != std::string_view::npos || name.front() == '~')
      return InvalidArgument("'labels': a name is 1 to 64 printable characters without ':', and not '~' first");
    if (std::any_of(labels->begin(), labels->end(), [&, key = name](const auto& one) { return one.first == key; }))
      return InvalidArgument("'labels': " + Quoted(name) + " is repeated");
    std::string label;
    if (Status status = ReadText("labels." + std::string(name), text, kLabelBytesMax, &label); !status.ok())
      return status;
    labels->emplace_back(name, std::move(label));
  }
  return OkStatus();
}

Status ReadOnLeaseExpiry(const element& value, ClaimRequest* claim) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS || (text != "hold" && text != "rerun"))
    return InvalidArgument("'on_lease_expiry' is \"hold\" or \"rerun\"");
  claim->on_lease_expiry = text == "rerun" ? LeaseExpiry::kRerun : LeaseExpiry::kHold;
  return OkStatus();
}

Fingerprint OpaqueFingerprint(std::string_view text) {
  return {FingerprintRecipe::kOpaque, Sha256OfParts({text})};
}

Status ReadWish(std::string_view body, std::string* scope, std::string* key, ClaimWish* wish) {
  ClaimRequest& claim = wish->claim;
  std::string fingerprint;
  const auto text_into = [](std::string_view name, size_t bytes_max, std::string* text) {
    return [=](const element& value) { return ReadText(name, value, bytes_max, text); };
  };
  const auto duration_into = [](std::string_view name, int64_t ms_min, int64_t ms_max, int64_t* ms) {
    return [=](const element& value) { return ReadDuration(name, value, ms_min, ms_max, ms); };
  };
  Status status =
      ReadMembers(body, kNoObject,
                  {{"scope", text_into("scope", kScopeBytesMax + kKeyBytesMax, scope)},
                   {"key",
                    [key](const element& value) {
                      std::string_view text;
                      if (value.get(text) != simdjson::SUCCESS) return InvalidArgument("'key' is not a string");
                      key->assign(text);
                      return OkStatus();
                    }},
                   {"claim_id", text_into("claim_id", kClaimIdBytesMax, &claim.claim_id)},
                   {"fingerprint", text_into("fingerprint", kFingerprintBytesMax, &fingerprint)},
                   {"type", text_into("type", kTypeBytesMax, &claim.type)},
                   {"ttl", duration_into("ttl", kTtlMsMin, INT64_MAX, &claim.ttl_ms)},
                   {"lease", duration_into("lease", kLeaseMsMin, kLeaseMsMax, &claim.lease_ms)},
                   {"wait", duration_into("wait", 0, kWaitMsMax, &wish->wait_ms)},
                   {"on_lease_expiry", [&claim](const element& value) { return ReadOnLeaseExpiry(value, &claim); }},
                   {"labels", [&claim](const element& value) { return ReadLabels(value, &claim.labels); }}});
  if (!status.ok()) return status;
  claim.hold_unknown = claim.on_lease_expiry == LeaseExpiry::kHold;
  if (!fingerprint.empty()) wish->facts.fingerprint = OpaqueFingerprint(fingerprint);
  return OkStatus();
}

ApiAnswer NoContent() {
  ApiAnswer answer;
  answer.status = 204;
  answer.content_type.clear();
  return answer;
}

ApiAnswer Later(ErrorCode code, std::string detail, int seconds) {
  return ProblemAnswer(http::Error{.code = code, .detail = std::move(detail), .retry_after_s = seconds, .status = {}});
}

ApiAnswer RefusedAnswer(const Refused& refused) {
  if (std::holds_alternative<KeyReused>(refused.decision))
    return Problem(ErrorCode::kKeyReused, "This key was used before with a different request.");
  if (std::holds_alternative<InFlight>(refused.decision))
    return Later(ErrorCode::kInFlight, "Somebody else is executing this key.", 1);
  if (std::holds_alternative<Held>(refused.decision)) {
    ApiAnswer answer =
        Later(ErrorCode::kStoreUnavailable,
              "This store was restored from a backup and does not know this key; nothing was claimed.", 5);
    // A client that fails open has to tell this refusal, which is the operator's, from a store that cannot answer.
    answer.fields.emplace_back("Oncegate-Restored", "hold");
    return answer;
  }
  if (!std::holds_alternative<Replay>(refused.decision) || !refused.record.response)
    return Later(ErrorCode::kOutcomeUnknown,
                 "An earlier attempt with this key may or may not have taken effect; an operator has to settle it.",
                 60);
  JsonWriter json;
  json.BeginObject().Name("outcome").String("replay").Name("response");
  WriteReplay(*refused.record.response, &json);
  json.EndObject();
  return Json(std::move(json));
}

}  // namespace

ApiAnswer ControlApi::Claim(const Call& call) {
  ClaimWish wish;
  wish.claim.owner = ClaimOwner::kSidecar;
  wish.claim.type = "webhook";
  wish.claim.ttl_ms = kTtlDefaultMs;
  wish.claim.lease_ms = kLeaseDefaultMs;
  std::string scope = "default";
  std::string key;
  if (const Status status = ReadWish(call.body, &scope, &key, &wish); !status.ok())
    return Problem(ErrorCode::kBadRequest, status.message());
  if (!IsRecordScope(scope))
    return Problem(ErrorCode::kBadRequest, "'scope' is 1 to 64 characters of A-Z a-z 0-9 . _ -");
  if (key.empty()) return Problem(ErrorCode::kMissingKey, "'key' is missing or empty.");
  if (!IsValidKey(key))
    return Problem(ErrorCode::kInvalidKey, "'key' is 1 to 255 characters of A-Z a-z 0-9 . _ : = + / @ ~ -");
  wish.claim.key = ScopedKey(scope, key);
  wish.claim.source_ip = call.client_ip;
  if (parts_.gateway == nullptr || parts_.gateway->draining())
    return Later(ErrorCode::kDraining, "This server takes no claims now.", 5);

  Sidecar& sidecar = parts_.gateway->sidecar();
  if (!call.may_come_later)
    return ClaimAnswer(sidecar.Claim(wish.claim, wish.facts, wish.wait_ms, call.client_gone, call.trace));
  ApiAnswer answer;
  answer.later = [this, &sidecar, wish = std::move(wish), trace = std::string(call.trace)](ApiAnswer::Done done) {
    const auto claimed = [this, done = std::move(done)](const std::optional<Result<ClaimResult>>& result) {
      done(result ? std::optional<ApiAnswer>(ClaimAnswer(*result)) : std::nullopt);
    };
    sidecar.ClaimTogether(wish.claim, wish.facts, wish.wait_ms > 0, trace, claimed);
  };
  return answer;
}

ApiAnswer ControlApi::ClaimAnswer(const Result<ClaimResult>& result) {
  if (!result.ok()) return StoreProblem(result.status());
  if (const auto* refused = std::get_if<Refused>(&*result)) return RefusedAnswer(*refused);
  const auto& claimed = std::get<Claimed>(*result);
  JsonWriter json;
  json.BeginObject().Name("outcome").String("execute").Name("token").String(FormatToken(claimed.token));
  json.Name("attempt").Uint(claimed.attempt);
  json.Name("lease_expires_at").TimeOrNull(claimed.lease_expires_at_ms, kNever);
  if (claimed.possible_duplicate) json.Name("possible_duplicate").String("restored");
  json.EndObject();
  return Json(std::move(json), 201);
}

ApiAnswer ControlApi::ClaimProblem(const Status& status) {
  if (status.code() == StatusCode::kConflict)
    return Problem(ErrorCode::kClaimLost, "This token does not hold a key any more.");
  return StoreProblem(status);
}

// Whether the target names a token; `*problem` says what is wrong if there can be none.
bool ControlApi::ReadToken(const Call& call, Token* token, ApiAnswer* problem) const {
  if (!ParseToken(call.target.segments[2], token)) {
    *problem = Problem(ErrorCode::kNotFound, "A token is 32 hexadecimal digits.");
    return false;
  }
  if (parts_.gateway == nullptr) {
    *problem = Later(ErrorCode::kDraining, "No server runs on this store.", 5);
    return false;
  }
  return true;
}

ApiAnswer ControlApi::CompleteClaim(const Call& call) {
  Token token{};
  ApiAnswer problem;
  if (!ReadToken(call, &token, &problem)) return problem;
  Result<StoredResponse> response = ParseResponseJson(call.body);
  if (!response.ok()) return Problem(ErrorCode::kBadRequest, response.status().message());
  Sidecar& sidecar = parts_.gateway->sidecar();
  if (!call.may_come_later) return CompletionAnswer(sidecar.Complete(token, *std::move(response)));
  ApiAnswer answer;
  answer.later = [this, &sidecar, token, response = *std::move(response)](ApiAnswer::Done done) mutable {
    sidecar.CompleteTogether(token, std::move(response),
                             [this, done = std::move(done)](const Status& status) { done(CompletionAnswer(status)); });
  };
  return answer;
}

ApiAnswer ControlApi::CompletionAnswer(const Status& status) {
  return status.ok() ? NoContent() : ClaimProblem(status);
}

ApiAnswer ControlApi::RenewClaim(const Call& call) {
  Token token{};
  ApiAnswer problem;
  if (!ReadToken(call, &token, &problem)) return problem;
  int64_t lease_ms = kLeaseDefaultMs;
  const Members members{{"lease", [&](const element& value) {
                           return ReadDuration("lease", value, kLeaseMsMin, kLeaseMsMax, &lease_ms);
                         }}};
  const Status read = call.body.empty() ? OkStatus() : ReadMembers(call.body, kNoObject, members);
  if (!read.ok()) return Problem(ErrorCode::kBadRequest, read.message());
  const Result<int64_t> until_ms = parts_.gateway->sidecar().Renew(token, lease_ms);
  if (!until_ms.ok()) return ClaimProblem(until_ms.status());
  JsonWriter json;
  json.BeginObject().Name("lease_expires_at").TimeOrNull(*until_ms, kNever).EndObject();
  return Json(std::move(json));
}

ApiAnswer ControlApi::ReleaseClaim(const Call& call) {
  Token token{};
  ApiAnswer problem;
  if (!ReadToken(call, &token, &problem)) return problem;
  const Status read = call.body.empty() ? OkStatus() : ReadMembers(call.body, kNoObject, {});
  if (!read.ok()) return Problem(ErrorCode::kBadRequest, read.message());
  const Status status = parts_.gateway->sidecar().Release(token, call.trace);
  return status.ok() ? NoContent() : ClaimProblem(status);
}

}  // namespace oncegate::control

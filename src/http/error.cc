#include "http/error.h"

#include <array>
#include <cstddef>

#include "base/json_text.h"

namespace oncegate::http {
namespace {

// A name, not an address: there is no public site, and an address that nobody serves would be worse than none. Each
// name has a heading in docs/errors.md.
constexpr std::string_view kTypeBase = "urn:oncegate:error:";

struct ErrorRow {
  ErrorCode code;
  std::string_view name;
  int status;
  bool retryable;
  std::string_view title;
};

constexpr std::array<ErrorRow, static_cast<size_t>(ErrorCode::kCount)> kErrors = {{
    {ErrorCode::kBadRequest, "bad-request", 400, false, "The request is malformed"},
    {ErrorCode::kMissingKey, "missing-key", 400, false, "The request carries no idempotency key"},
    {ErrorCode::kInvalidKey, "invalid-key", 400, false, "The idempotency key is malformed"},
    {ErrorCode::kSignatureInvalid, "signature-invalid", 401, false, "The signature does not match the request"},
    {ErrorCode::kTimestampExpired, "timestamp-expired", 401, false, "The signed time is outside of the tolerance"},
    {ErrorCode::kUnauthorized, "unauthorized", 401, false, "A valid token is required"},
    {ErrorCode::kNotFound, "not-found", 404, false, "There is nothing here"},
    {ErrorCode::kRequestTimeout, "request-timeout", 408, true, "The request did not arrive in time"},
    {ErrorCode::kInFlight, "in-flight", 409, true, "Another delivery of this key is being executed"},
    {ErrorCode::kOutcomeUnknown, "outcome-unknown", 409, true,
     "An earlier delivery of this key may or may not have taken effect"},
    {ErrorCode::kClaimLost, "claim-lost", 409, false, "The claim is no longer held"},
    {ErrorCode::kNotRedeliverable, "not-redeliverable", 409, false, "The record cannot be delivered again"},
    {ErrorCode::kBodyTooLarge, "body-too-large", 413, false, "The request body is too large"},
    {ErrorCode::kKeyReused, "key-reused", 422, false, "The key was used before with a different request"},
    {ErrorCode::kRateLimited, "rate-limited", 429, true, "Too many requests"},
    {ErrorCode::kHeadTooLarge, "head-too-large", 431, false, "The request head is too large"},
    {ErrorCode::kUpstreamUnreachable, "upstream-unreachable", 502, true, "The application cannot be reached"},
    {ErrorCode::kUpstreamBroken, "upstream-broken", 502, true, "The application gave no usable answer"},
    {ErrorCode::kStoreUnavailable, "store-unavailable", 503, true, "The store cannot answer"},
    {ErrorCode::kOverloaded, "overloaded", 503, true, "The server is at its limit"},
    {ErrorCode::kDraining, "draining", 503, true, "The server is shutting down"},
    {ErrorCode::kUpstreamTimeout, "upstream-timeout", 504, true, "The application did not answer in time"},
}};

consteval bool RowsMatchCodes() {
  for (size_t i = 0; i < kErrors.size(); ++i) {
    if (static_cast<size_t>(kErrors[i].code) != i) return false;
  }
  return true;
}
static_assert(RowsMatchCodes(), "a row of kErrors stands at another place than its code");

const ErrorRow& RowOf(ErrorCode code) {
  return kErrors[static_cast<size_t>(code)];
}

}  // namespace

std::string_view ErrorName(ErrorCode code) {
  return RowOf(code).name;
}
int ErrorStatus(ErrorCode code) {
  return RowOf(code).status;
}
std::string_view ErrorTitle(ErrorCode code) {
  return RowOf(code).title;
}
bool ErrorRetryable(ErrorCode code) {
  return RowOf(code).retryable;
}

std::string ProblemJson(const Error& error) {
  const ErrorRow& row = RowOf(error.code);
  std::string json;
  json.reserve(256 + error.detail.size());
  json.append("{\"type\":\"").append(kTypeBase).append(row.name);
  json.append("\",\"title\":\"").append(row.title);
  json.append("\",\"status\":").append(std::to_string(error.status.value_or(row.status)));
  json.append(",\"detail\":");
  AppendJsonString(error.detail, &json);
  json.append(",\"code\":\"").append(row.name);
  json.append("\",\"retryable\":").append(row.retryable ? "true" : "false");
  json.append("}");
  return json;
}

}  // namespace oncegate::http

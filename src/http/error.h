#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oncegate::http {

// Every way in which oncegate itself answers instead of the application. The one place that knows their names,
// statuses and titles; people's scripts match on the names.
enum class ErrorCode : uint8_t {
  kBadRequest,
  kMissingKey,
  kInvalidKey,
  kSignatureInvalid,
  kTimestampExpired,
  kUnauthorized,
  kNotFound,
  kRequestTimeout,
  kInFlight,
  kOutcomeUnknown,
  kClaimLost,
  kNotRedeliverable,
  kBodyTooLarge,
  kKeyReused,
  kRateLimited,
  kHeadTooLarge,
  kUpstreamUnreachable,
  kUpstreamBroken,
  kStoreUnavailable,
  kOverloaded,
  kDraining,
  kUpstreamTimeout,
  kCount,
};

std::string_view ErrorName(ErrorCode code);   // "in-flight"
int ErrorStatus(ErrorCode code);              // 409
std::string_view ErrorTitle(ErrorCode code);  // "Another delivery of this key is being executed"
bool ErrorRetryable(ErrorCode code);          // whether the same request may succeed later

// What is wrong with a message, or why a request cannot be served.
struct Error {
  ErrorCode code = ErrorCode::kBadRequest;
  std::string detail;  // one sentence for the sender; never a secret, a path or an exception's text
  std::optional<int> retry_after_s;
  std::optional<int> status;  // instead of the code's own (--busy-status)
};

// The body of an RFC 9457 problem: type, title, status, detail, code, retryable. `type` names the heading of
// docs/errors.md.
std::string ProblemJson(const Error& error);

inline constexpr std::string_view kProblemContentType = "application/problem+json";

}  // namespace oncegate::http

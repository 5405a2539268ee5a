#include "http/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace oncegate::http {
namespace {

struct ErrorRow {
  ErrorCode code;
  std::string_view name;
  int status;
  bool retryable;
};

constexpr ErrorRow kErrorRows[] = {
    {ErrorCode::kBadRequest, "bad-request", 400, false},
    {ErrorCode::kMissingKey, "missing-key", 400, false},
    {ErrorCode::kInvalidKey, "invalid-key", 400, false},
    {ErrorCode::kSignatureInvalid, "signature-invalid", 401, false},
    {ErrorCode::kTimestampExpired, "timestamp-expired", 401, false},
    {ErrorCode::kUnauthorized, "unauthorized", 401, false},
    {ErrorCode::kNotFound, "not-found", 404, false},
    {ErrorCode::kRequestTimeout, "request-timeout", 408, true},
    {ErrorCode::kInFlight, "in-flight", 409, true},
    {ErrorCode::kOutcomeUnknown, "outcome-unknown", 409, true},
    {ErrorCode::kClaimLost, "claim-lost", 409, false},
    {ErrorCode::kNotRedeliverable, "not-redeliverable", 409, false},
    {ErrorCode::kBodyTooLarge, "body-too-large", 413, false},
    {ErrorCode::kKeyReused, "key-reused", 422, false},
    {ErrorCode::kRateLimited, "rate-limited", 429, true},
    {ErrorCode::kHeadTooLarge, "head-too-large", 431, false},
    {ErrorCode::kUpstreamUnreachable, "upstream-unreachable", 502, true},
    {ErrorCode::kUpstreamBroken, "upstream-broken", 502, true},
    {ErrorCode::kStoreUnavailable, "store-unavailable", 503, true},
    {ErrorCode::kOverloaded, "overloaded", 503, true},
    {ErrorCode::kDraining, "draining", 503, true},
    {ErrorCode::kUpstreamTimeout, "upstream-timeout", 504, true},
};

TEST(Error, TableOfTheContract) {
  std::set<ErrorCode> seen;
  for (const ErrorRow& row : kErrorRows) {
    seen.insert(row.code);
    EXPECT_EQ(ErrorName(row.code), row.name);
    EXPECT_EQ(ErrorStatus(row.code), row.status) << row.name;
    EXPECT_EQ(ErrorRetryable(row.code), row.retryable) << row.name;
    EXPECT_FALSE(ErrorTitle(row.code).empty()) << row.name;
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(ErrorCode::kCount));
}

TEST(ProblemJson, HasAllMembers) {
  const Error error = {.code = ErrorCode::kInFlight, .detail = "wait", .retry_after_s = 1, .status = std::nullopt};
  EXPECT_EQ(ProblemJson(error),
            R"({"type":"urn:oncegate:error:in-flight",)"
            R"("title":"Another delivery of this key is being executed","status":409,"detail":"wait",)"
            R"("code":"in-flight","retryable":true})");
}

TEST(ProblemJson, StatusCanBeOverridden) {
  const Error error = {.code = ErrorCode::kInFlight, .detail = "", .retry_after_s = std::nullopt, .status = 503};
  EXPECT_NE(ProblemJson(error).find(R"("status":503,)"), std::string::npos);
  EXPECT_NE(ProblemJson(error).find(R"("code":"in-flight")"), std::string::npos);
}

std::string DetailOf(std::string detail) {
  const std::string json =
      ProblemJson({.code = ErrorCode::kBadRequest, .detail = std::move(detail), .retry_after_s = {}, .status = {}});
  const size_t begin = json.find("\"detail\":\"") + 10;
  return json.substr(begin, json.rfind("\",\"code\"") - begin);
}

TEST(ProblemJson, DetailIsAlwaysWellFormed) {
  struct Case {
    std::string detail;
    std::string_view escaped;
  };
  const Case cases[] = {
      {"plain", "plain"},
      {"a\"b\\c/", "a\\\"b\\\\c/"},
      {"\n\t\x1f\x7f", "\\n\\u0009\\u001f\\u007f"},
      {std::string("a\0b", 3), "a\\u0000b"},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"\x80", "\\ufffd"},
      {"\xff", "\\ufffd"},
      {"\xc3", "\\ufffd"},
      {"\xc3(", "\\ufffd("},
      {"\xc0\xaf", "\\ufffd\\ufffd"},
      {"\xe0\x80\x80", "\\ufffd\\ufffd\\ufffd"},
      {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
      {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
      {"\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
      {"\xe2\x82", "\\ufffd\\ufffd"},
      {"\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd"},
      {"\xe2\x82\"", "\\ufffd\\ufffd\\\""},
  };
  for (const Case& c : cases) EXPECT_EQ(DetailOf(c.detail), c.escaped) << testing::PrintToString(c.detail);
}

}  // namespace
}  // namespace oncegate::http

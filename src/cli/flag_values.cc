#include "cli/flag_values.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>

#include "base/units.h"
#include "http/chars.h"

namespace oncegate::cli {
namespace {

constexpr size_t kFieldNameBytesMax = 128;
constexpr size_t kMethodsMax = 16;

Status OutOfBounds(const std::string& text, const std::string& min, const std::string& max) {
  return InvalidArgument("'" + text + "' is not within " + min + " and " + max);
}

// How many letters have to be added, left out or replaced.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

bool IsHttpToken(std::string_view text) {
  return !text.empty() && http::SpanOf(text, http::kTokenChar) == text.size();
}

}  // namespace

Status ReadDuration(const std::string& text, int64_t min_ms, int64_t max_ms, int64_t* out) {
  const Result<int64_t> value = ParseDurationMs(text);
  if (!value.ok()) return value.status();
  if (*value < min_ms || *value > max_ms) return OutOfBounds(text, FormatDurationMs(min_ms), FormatDurationMs(max_ms));
  *out = *value;
  return OkStatus();
}

Status ReadSize(const std::string& text, int64_t min_bytes, int64_t max_bytes, int64_t* out) {
  const Result<int64_t> value = ParseSizeBytes(text);
  if (!value.ok()) return value.status();
  if (*value < min_bytes || *value > max_bytes)
    return OutOfBounds(text, FormatSizeBytes(min_bytes), FormatSizeBytes(max_bytes));
  *out = *value;
  return OkStatus();
}

Status ReadNumber(const std::string& text, int64_t min, int64_t max, int64_t* out) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value < min || value > max) {
    return InvalidArgument("'" + text + "' is not a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  *out = value;
  return OkStatus();
}

Status ReadCount(const std::string& text, int64_t min, int64_t max, size_t* out) {
  int64_t value = 0;
  Status status = ReadNumber(text, min, max, &value);
  if (status.ok()) *out = static_cast<size_t>(value);
  return status;
}

Status ReadPath(const std::string& text, std::string* out) {
  if (text.empty()) return InvalidArgument("'' is not the name of a file or directory");
  *out = text;
  return OkStatus();
}

Status ReadFieldName(const std::string& text, std::string* out) {
  if (!IsHttpToken(text) || text.size() > kFieldNameBytesMax)
    return InvalidArgument("'" + text + "' is not the name of a header such as Idempotency-Key");
  *out = text;
  return OkStatus();
}

Status ReadMethods(const std::string& text, std::vector<std::string>* out) {
  std::vector<std::string> methods;
  std::string_view rest = text;
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view method = http::TrimSpaces(rest.substr(0, comma));
    if (!IsHttpToken(method)) return InvalidArgument("'" + text + "' is not a list of methods such as POST,PATCH");
    if (method == "HEAD" || method == "CONNECT" || method == "TRACE")
      return InvalidArgument("'" + std::string(method) + "' cannot be de-duplicated; POST, PUT, PATCH and DELETE can");
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.emplace_back(method);
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  if (methods.size() > kMethodsMax) return InvalidArgument("more than " + std::to_string(kMethodsMax) + " methods");
  *out = std::move(methods);
  return OkStatus();
}

std::string_view NearestName(std::string_view text, const std::vector<std::string_view>& names) {
  std::string_view nearest;
  size_t distance_max = std::min<size_t>(text.size() / 3, 3);
  if (text.size() > 64) return nearest;
  for (const std::string_view name : names) {
    const size_t distance = Distance(text, name);
    if (distance > distance_max || (distance == distance_max && !nearest.empty())) continue;
    nearest = name;
    distance_max = distance;
  }
  return nearest;
}

}  // namespace oncegate::cli

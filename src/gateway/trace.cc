#include "gateway/trace.h"

#include <algorithm>

namespace oncegate {
namespace {

// version "-" trace-id "-" parent-id "-" flags
constexpr size_t kTraceAt = 3;
constexpr size_t kTraceDigits = 32;
constexpr size_t kParentAt = kTraceAt + kTraceDigits + 1;
constexpr size_t kParentDigits = 16;
constexpr size_t kFlagsAt = kParentAt + kParentDigits + 1;
constexpr size_t kSize = kFlagsAt + 2;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

std::string_view TraceIdOf(const http::Fields& fields) {
  const auto found = fields.Find("traceparent");
  if (!found || found->size() < kSize || fields.Count("traceparent") > 1) return {};
  const std::string_view text = *found;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace = text.substr(kTraceAt, kTraceDigits);
  const std::string_view parent = text.substr(kParentAt, kParentDigits);
  const bool whole = text.size() == kSize || (version != "00" && text[kSize] == '-');  // later versions may say more
  const bool dashes = text[kTraceAt - 1] == '-' && text[kParentAt - 1] == '-' && text[kFlagsAt - 1] == '-';
  const bool hex = IsHex(version) && IsHex(trace) && IsHex(parent) && IsHex(text.substr(kFlagsAt, 2));
  if (!whole || !dashes || !hex || version == "ff" || IsZero(trace) || IsZero(parent)) return {};
  return trace;
}

}  // namespace oncegate

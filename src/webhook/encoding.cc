#include "webhook/encoding.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/hash.h"

namespace oncegate {
namespace {

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

// Cuts the part before the next '&' off the front.
std::string_view NextField(std::string_view* text) {
  const size_t end = std::min(text->find('&'), text->size());
  const std::string_view field = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return field;
}

}  // namespace

std::optional<std::string> DecodeBase64(std::string_view text) {
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) {
    if (text.size() % 4 != static_cast<size_t>(padding == 0 ? 0 : 3)) return std::nullopt;
    text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const int value = Base64Value(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes.push_back(static_cast<char>(bits >> have & 0xff));
  }
  if ((bits & ((1U << have) - 1)) != 0) return std::nullopt;
  return bytes;
}

std::string DecodePercent(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string byte;
    if (text[i] == '%' && i + 2 < text.size() && FromHex(text.substr(i + 1, 2), &byte)) {
      decoded += byte;
      i += 2;
    } else {
      decoded.push_back(text[i] == '+' && plus_is_space ? ' ' : text[i]);
    }
  }
  return decoded;
}

std::string DecodeHtml(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, char>, 6> kEscapes{
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#039;", '\''}, {"&#39;", '\''}}};
  std::string decoded;
  while (!text.empty()) {
    const auto* const escape = std::find_if(
        kEscapes.begin(), kEscapes.end(), [text](const auto& candidate) { return text.starts_with(candidate.first); });
    decoded.push_back(escape == kEscapes.end() ? text.front() : escape->second);
    text.remove_prefix(escape == kEscapes.end() ? 1 : escape->first.size());
  }
  return decoded;
}

std::optional<std::vector<FormField>> ParseForm(std::string_view text) {
  std::vector<FormField> fields;
  while (!text.empty()) {
    const std::string_view field = NextField(&text);
    if (field.empty()) continue;
    if (fields.size() == kFormFieldsMax) return std::nullopt;
    const size_t equals = std::min(field.find('='), field.size());
    fields.push_back({DecodePercent(field.substr(0, equals), true),
                      DecodePercent(field.substr(std::min(equals + 1, field.size())), true)});
  }
  return fields;
}

std::optional<std::string> RedactForm(std::string_view text, const std::vector<std::string>& names) {
  std::string redacted;
  bool replaced = false;
  bool first = true;
  while (!text.empty()) {
    const std::string_view field = NextField(&text);
    if (!std::exchange(first, false)) redacted.push_back('&');
    const size_t equals = field.find('=');
    const std::string name = DecodePercent(field.substr(0, equals), true);
    if (equals == std::string_view::npos || std::find(names.begin(), names.end(), name) == names.end()) {
      redacted.append(field);
      continue;
    }
    redacted.append(field.substr(0, equals + 1)).append("%5Bredacted%5D");
    replaced = true;
  }
  return replaced ? std::optional(redacted) : std::nullopt;
}

}  // namespace oncegate

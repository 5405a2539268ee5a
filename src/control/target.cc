#include "control/target.h"

#include "http/chars.h"

namespace oncegate::control {
namespace {

// Once, strictly: what is decoded here is never decoded again.
Result<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 2 < text.size() ? http::HexValue(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? http::HexValue(text[i + 2]) : -1;
      if (high < 0 || low < 0) return InvalidArgument("A '%' in the target is not followed by two hexadecimal digits.");
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

Status ReadSegments(std::string_view path, Target* target) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    Result<std::string> segment = PercentDecode(path.substr(0, end), false);
    if (!segment.ok()) return segment.status();
    target->segments.push_back(*std::move(segment));
    path.remove_prefix(end);
  }
  return OkStatus();
}

Status ReadQuery(std::string_view query, Target* target) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    Result<std::string> name = PercentDecode(pair.substr(0, equals), true);
    if (!name.ok()) return name.status();
    Result<std::string> value = PercentDecode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!value.ok()) return value.status();
    if (name->empty()) return InvalidArgument("A query parameter has no name.");
    if (target->Find(*name)) return InvalidArgument("The query parameter '" + *name + "' is repeated.");
    target->query.emplace_back(*std::move(name), *std::move(value));
  }
  return OkStatus();
}

}  // namespace

std::optional<std::string> Target::Find(std::string_view name) const {
  for (const auto& [its_name, value] : query) {
    if (its_name == name) return value;
  }
  return std::nullopt;
}

Result<Target> ParseTarget(std::string_view raw) {
  if (raw.empty() || raw.front() != '/') return InvalidArgument("The target is not a path.");
  const size_t mark = std::min(raw.find('?'), raw.size());
  Target target;
  if (Status status = ReadSegments(raw.substr(0, mark), &target); !status.ok()) return status;
  if (mark == raw.size()) return target;
  if (Status status = ReadQuery(raw.substr(mark + 1), &target); !status.ok()) return status;
  return target;
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    out.push_back('%');
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
  return out;
}

}  // namespace oncegate::control

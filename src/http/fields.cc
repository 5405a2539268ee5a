#include <algorithm>
#include <array>

#include "http/chars.h"
#include "http/head.h"

namespace oncegate::http {

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (ToLower(a[i]) != ToLower(b[i])) return false;
  }
  return true;
}

bool ListHasToken(std::string_view list, std::string_view token) {
  while (true) {
    const size_t comma = list.find(',');
    if (EqualsIgnoreCase(TrimSpaces(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

Field Fields::operator[](size_t i) const {
  const Span& span = spans_[i];
  return {{bytes_.data() + span.name, span.name_size}, {bytes_.data() + span.value, span.value_size}};
}

std::optional<std::string_view> Fields::Find(std::string_view name) const {
  for (const Span& span : spans_) {
    if (span.name_size != name.size()) continue;
    if (EqualsIgnoreCase({bytes_.data() + span.name, span.name_size}, name)) {
      return std::string_view(bytes_.data() + span.value, span.value_size);
    }
  }
  return std::nullopt;
}

size_t Fields::Count(std::string_view name) const {
  size_t count = 0;
  for (const Span& span : spans_) {
    if (span.name_size == name.size() && EqualsIgnoreCase({bytes_.data() + span.name, span.name_size}, name)) ++count;
  }
  return count;
}

bool Fields::HasToken(std::string_view name, std::string_view token) const {
  for (size_t i = 0; i < size(); ++i) {
    const Field field = (*this)[i];
    if (EqualsIgnoreCase(field.name, name) && ListHasToken(field.value, token)) return true;
  }
  return false;
}

std::string_view RequestHead::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

bool IsHopByHop(std::string_view name, const Fields& fields) {
  constexpr std::array<std::string_view, 9> kNames = {
      "Connection", "Keep-Alive",        "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE",
      "Trailer",    "Transfer-Encoding", "Upgrade",
  };
  const auto same = [name](std::string_view other) { return EqualsIgnoreCase(name, other); };
  if (std::any_of(kNames.begin(), kNames.end(), same)) return true;
  // A sender that names these in Connection would have the next hop read another message than the one that was vetted.
  if (same("Host") || same("Content-Length")) return false;
  return fields.HasToken("Connection", name);
}

}  // namespace oncegate::http

#include "gateway/identify.h"

#include "core/key.h"

namespace oncegate {
namespace {

Result<std::string> KeyFromHeaders(const Route& route, const http::Fields& fields) {
  for (const std::string& name : route.key_headers) {
    const size_t count = fields.Count(name);
    if (count == 0) continue;
    if (count > 1) return InvalidArgument("the header " + name + " is repeated");
    Result<std::string> key = KeyFromHeaderValue(*fields.Find(name));
    if (!key.ok()) return InvalidArgument(name + ": " + key.status().message());
    if (!key->empty()) return key;
  }
  return std::string();
}

// Empty if any part is absent, or if there is nothing in any of them.
std::string KeyFromValues(const std::vector<std::optional<std::string>>& values, size_t count) {
  std::vector<std::string> parts;
  bool something = false;
  for (size_t i = 0; i < count; ++i) {
    if (!values[i]) return {};
    something = something || !values[i]->empty();
    parts.push_back(*values[i]);
  }
  return something ? KeyFromParts(parts) : std::string();
}

std::string EffectiveScope(const Route& route, const http::Fields& fields) {
  if (route.scope_header.empty()) return route.scope;
  // All lines of that name count: which of them the application believes is not known here.
  std::string values;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (http::EqualsIgnoreCase(fields[i].name, route.scope_header)) values.append(fields[i].value).push_back('\n');
  }
  return JoinedScope(route.scope, values);
}

}  // namespace

Result<Identity> Identify(const Route& route, const http::Fields& fields, std::string_view body) {
  Identity identity;
  Result<std::string> key = KeyFromHeaders(route, fields);
  if (!key.ok()) return key.status();
  identity.key = std::move(*key);
  identity.scope = EffectiveScope(route, fields);
  identity.type = route.type;
  if (!route.type_header.empty()) {
    const auto value = fields.Find(route.type_header);
    if (value && IsPresentable(*value, kTypeBytesMax)) identity.type = *value;
  }

  // One pass over the body for everything that is wanted of it.
  std::vector<JsonPointer> pointers;
  const size_t key_parts = identity.key.empty() ? route.key_pointers.size() : 0;
  pointers.insert(pointers.end(), route.key_pointers.begin(),
                  route.key_pointers.begin() + static_cast<std::ptrdiff_t>(key_parts));
  if (route.type_pointer) pointers.push_back(*route.type_pointer);
  for (const auto& [name, pointer] : route.labels) pointers.push_back(pointer);
  if (pointers.empty()) return identity;
  const std::vector<std::optional<std::string>> values = ExtractJson(body, pointers);

  if (key_parts > 0) identity.key = KeyFromValues(values, key_parts);
  size_t next = key_parts;
  if (route.type_pointer) {
    const auto& value = values[next++];
    if (value && IsPresentable(*value, kTypeBytesMax)) identity.type = *value;
  }
  for (const auto& [name, pointer] : route.labels) {
    const auto& value = values[next++];
    if (value && IsPresentable(*value, kLabelBytesMax)) identity.labels.emplace_back(name, *value);
  }
  return identity;
}

}  // namespace oncegate

#include "gateway/route_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace oncegate {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Writes the text with percent-encoded characters decoded to `out`, as far as there is room; what was written.
std::string_view Decode(std::string_view text, char* out, size_t room) {
  size_t size = 0;
  for (size_t i = 0; i < text.size() && size < room; ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high < 0 ? -1 : HexDigit(text[i + 2]);
    out[size++] = low < 0 ? text[i] : static_cast<char>(high * 16 + low);
    if (low >= 0) i += 2;
  }
  return {out, size};
}

std::string_view PathOf(std::string_view target) {
  return target.substr(0, target.find('?'));
}

bool LeadsTo(std::string_view path, std::string_view prefix) {
  // "*" of OPTIONS belongs to whoever has everything.
  return path.starts_with(prefix) && (prefix.empty() || path.size() == prefix.size() || path[prefix.size()] == '/');
}

// The scope of a record less the client that a scope header told apart.
std::string_view RouteScope(const ScopedKey& key) {
  return key.scope().substr(0, key.scope().find('~'));
}

Status Twice(const Route& route, const Route& other, const std::string& what) {
  return InvalidArgument("routes '" + other.name + "' and '" + route.name + "' have the same " + what);
}

}  // namespace

RouteTable::RouteTable(std::vector<RoutePtr> routes, bool by_path)
    : routes_(std::move(routes)), by_path_(by_path), nowhere_(std::make_shared<const Route>(Route{.scope = {}})) {
  std::stable_sort(routes_.begin(), routes_.end(),
                   [](const RoutePtr& a, const RoutePtr& b) { return a->prefix.size() > b->prefix.size(); });
  for (const RoutePtr& route : routes_) prefix_bytes_max_ = std::max(prefix_bytes_max_, route->prefix.size());
}

RouteTable::RouteTable(RoutePtr only) : RouteTable(std::vector<RoutePtr>{std::move(only)}, false) {}

Result<RouteTable> RouteTable::OfSeveral(std::vector<RoutePtr> routes) {
  if (routes.empty()) return InvalidArgument("there is no route");
  if (routes.size() > kRoutesMax) return InvalidArgument("more than " + std::to_string(kRoutesMax) + " routes");
  for (size_t i = 0; i < routes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const Route& route = *routes[i];
      const Route& other = *routes[j];
      if (route.name == other.name) return InvalidArgument("two routes are named '" + route.name + "'");
      if (route.prefix == other.prefix)
        return Twice(route, other, "prefix " + (route.prefix.empty() ? "/" : route.prefix));
      if (route.scope == other.scope && !(route.shared_scope && other.shared_scope))
        return Twice(route, other, "scope '" + route.scope + R"('; if that is meant, give both "shared_scope": true)");
    }
  }
  return RouteTable(std::move(routes), true);
}

const RouteTable::RoutePtr& RouteTable::Find(std::string_view target) const {
  if (!by_path_) return routes_.front();
  std::string_view path = PathOf(target);
  // One byte more than any prefix has shows whether a segment ends there.
  std::array<char, kRoutePrefixBytesMax + 1> decoded;
  if (path.substr(0, 3 * decoded.size()).find('%') != std::string_view::npos)
    path = Decode(path, decoded.data(), prefix_bytes_max_ + 1);
  for (const RoutePtr& route : routes_) {
    if (LeadsTo(path, route->prefix)) return route;
  }
  return nowhere_;
}

RouteTable::RoutePtr RouteTable::FindFor(const ScopedKey& key, std::string_view target) const {
  if (!by_path_) return routes_.front();
  const std::string_view scope = RouteScope(key);
  if (const RoutePtr& route = Find(target); route->scope == scope) return route;
  const auto has_scope = [scope](const RoutePtr& route) { return route->scope == scope; };
  if (std::count_if(routes_.begin(), routes_.end(), has_scope) != 1) return nullptr;
  return *std::find_if(routes_.begin(), routes_.end(), has_scope);
}

Result<std::string> ParseRoutePrefix(std::string_view text) {
  const std::string quoted = "'" + std::string(text) + "'";
  const auto fits = [](char c) { return c > 0x20 && c < 0x7f && c != '?' && c != '#'; };
  if (!text.starts_with('/') || !std::all_of(text.begin(), text.end(), fits))
    return InvalidArgument(quoted + " is not a path such as /orders, which begins with a slash");
  if (!IsPlainPath(text)) return InvalidArgument(quoted + " can be read in more than one way");
  while (text.ends_with('/')) text.remove_suffix(1);
  if (text.size() > kRoutePrefixBytesMax)
    return InvalidArgument("a prefix has at most " + std::to_string(kRoutePrefixBytesMax) + " bytes");
  std::string prefix(text.size(), '\0');
  prefix.resize(Decode(text, prefix.data(), prefix.size()).size());
  return prefix;
}

bool IsPlainPath(std::string_view target) {
  std::string_view path = PathOf(target);
  if (path.find("//") != std::string_view::npos) return false;
  constexpr std::string_view kEncoding = "\\%";
  for (size_t at = path.find_first_of(kEncoding); at != std::string_view::npos;
       at = path.find_first_of(kEncoding, at + 1)) {
    char meant = '\0';
    Decode(path.substr(at), &meant, 1);
    if (meant == '\\' || meant == '/' || meant == '.') return false;
  }
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    // Some servers leave ";parameters" out before they look for dots.
    const std::string_view name = segment.substr(0, segment.find(';'));
    if (name == "." || name == "..") return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

}  // namespace oncegate

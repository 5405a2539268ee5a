#include "cli/routes_file.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "cli/files.h"
#include "cli/flag_values.h"
#include "core/key.h"
#include "gateway/route_table.h"

namespace oncegate::cli {
namespace {

namespace dom = simdjson::dom;

using Values = std::vector<std::string>;

// The members of a route that are no flags.
constexpr std::string_view kName = "name";
constexpr std::string_view kPrefix = "prefix";
constexpr std::string_view kPath = "path";  // the same
constexpr std::string_view kSharedScope = "shared_scope";

Status Wrong(const std::string& where, const std::string& what) {
  return InvalidArgument(where + ": " + what);
}

const ServeFlag* FindRouteFlag(std::string_view name) {
  for (const ServeFlag& flag : ServeFlags()) {
    if (flag.name == name && IsRouteFlag(flag)) return &flag;
  }
  return nullptr;
}

// A JSON value in a message.
std::string Shown(const dom::element& value) {
  constexpr size_t kBytesMax = 64;
  std::string text = simdjson::to_string(value);
  if (text.size() > kBytesMax) text.replace(kBytesMax, std::string::npos, "...");
  return "'" + text + "'";
}

// "'kye-header' is not known; is 'key-header' meant?"
std::string Unknown(std::string_view member, const std::vector<std::string_view>& known) {
  const std::string_view nearest = NearestName(member, known);
  return "'" + std::string(member) + "' is not known" +
         (nearest.empty() ? "" : "; is '" + std::string(nearest) + "' meant?");
}

std::string UnknownMember(std::string_view member) {
  std::vector<std::string_view> known{kName, kPrefix, kSharedScope};
  for (const ServeFlag& flag : ServeFlags()) {
    if (flag.name == member && !IsRouteFlag(flag))
      return "'" + std::string(member) + "' is for all routes: --" + std::string(member);
    if (IsRouteFlag(flag)) known.push_back(flag.name);
  }
  return Unknown(member, known);
}

// A value as the command line would have it.
Result<std::string> TextOf(const ServeFlag& flag, const dom::element& value) {
  switch (value.type()) {
    case dom::element_type::STRING:
      return std::string(value.get_string().value());
    case dom::element_type::INT64:
      return std::to_string(value.get_int64().value());
    case dom::element_type::BOOL:
      if (!flag.value.starts_with("on|off")) break;
      return std::string(value.get_bool().value() ? "on" : "off");
    default:
      break;
  }
  return InvalidArgument(Shown(value) + " is not " + std::string(flag.value));
}

// Lists of repeatable flags, and of those that take one value with commas; labels also as an object.
Result<Values> TextsOf(const ServeFlag& flag, const dom::element& value) {
  Values values;
  const bool list = flag.value.starts_with("LIST");
  if (value.is_object() && flag.name == "label") {
    const dom::object labels = value.get_object().value();
    for (const auto [name, pointer] : labels) {
      const Result<std::string> text = TextOf(flag, pointer);
      if (!text.ok()) return text.status();
      values.push_back(std::string(name) + "=" + *text);
    }
  } else if (value.is_array() && (flag.repeatable || list)) {
    const dom::array array = value.get_array().value();
    for (const dom::element one : array) {
      const Result<std::string> text = TextOf(flag, one);
      if (!text.ok()) return text.status();
      values.push_back(*text);
    }
  } else {
    const Result<std::string> text = TextOf(flag, value);
    if (!text.ok()) return text.status();
    values.push_back(*text);
  }
  if (values.empty()) return InvalidArgument("is empty; null stands for what holds without it");
  if (!list) return values;
  std::string joined;
  for (const std::string& text : values) joined.append(joined.empty() ? "" : ",").append(text);
  return Values{std::move(joined)};
}

class RouteReader {
 public:
  RouteReader(const std::string& file, size_t number, Profiles* profiles) : file_(file), profiles_(*profiles) {
    route_.where = file_ + ": route " + std::to_string(number);
  }

  Result<RouteText> Read(dom::element element) {
    dom::object object;
    if (element.get_object().get(object) != simdjson::SUCCESS) return Wrong(route_.where, "is not an object");
    if (Status status = TakeName(object); !status.ok()) return status;
    for (const auto [member, value] : object) {
      if (!seen_.emplace(member == kPath ? kPrefix : member).second)
        return Wrong(route_.where, "'" + std::string(member) + "' is given twice");
      if (Status status = TakeMember(member, value); !status.ok()) return Wrong(route_.where, status.message());
    }
    if (!seen_.contains(kPrefix)) return Wrong(route_.where, "has no 'prefix', the beginning of its paths");
    return std::move(route_);
  }

 private:
  Status TakeName(dom::object object) {
    std::string_view name;
    dom::element value;
    if (object[kName].get(value) != simdjson::SUCCESS) return Wrong(route_.where, "has no 'name'");
    if (value.get_string().get(name) != simdjson::SUCCESS || !IsValidScope(name))
      return Wrong(route_.where, "name: " + Shown(value) + " is not 1 to 64 characters of A-Z a-z 0-9 . _ -");
    route_.name = name;
    route_.where = file_ + ": route '" + route_.name + "'";
    return OkStatus();
  }

  Status TakeMember(std::string_view member, const dom::element& value) {
    if (member == kName) return OkStatus();
    if (member == kPrefix || member == kPath) return TakePrefix(value);
    if (member == kSharedScope) {
      if (value.get_bool().get(route_.shared_scope) == simdjson::SUCCESS) return OkStatus();
      return InvalidArgument("shared_scope: is not true or false");
    }
    const ServeFlag* const flag = FindRouteFlag(member);
    if (flag == nullptr) return InvalidArgument(UnknownMember(member));
    if (value.is_null()) {
      route_.unset.emplace(member);
      return OkStatus();
    }
    Result<Values> values = member == "provider" && value.is_object() ? TakeProfile(value) : TextsOf(*flag, value);
    if (!values.ok()) return InvalidArgument(std::string(member) + ": " + values.status().message());
    route_.flags.emplace(member,
                         GivenFlag{.values = *std::move(values), .origin = route_.where + ": " + std::string(member)});
    return OkStatus();
  }

  Status TakePrefix(const dom::element& value) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return InvalidArgument("prefix: is not a string");
    Result<std::string> prefix = ParseRoutePrefix(text);
    if (!prefix.ok()) return InvalidArgument("prefix: " + prefix.status().message());
    route_.prefix = *std::move(prefix);
    return OkStatus();
  }

  // A profile in the place of its name.
  Result<Values> TakeProfile(const dom::element& value) {
    Result<std::string> name = profiles_.Add(simdjson::to_string(value));
    if (!name.ok()) return name.status();
    return Values{*std::move(name)};
  }

  const std::string& file_;
  Profiles& profiles_;
  RouteText route_;
  std::set<std::string, std::less<>> seen_;
};

Status TakeProfiles(const std::string& file, dom::element element, Profiles* profiles) {
  dom::array array;
  if (element.get_array().get(array) != simdjson::SUCCESS) return Wrong(file, "'profiles' is not an array");
  size_t number = 0;
  for (const dom::element one : array) {
    const Result<std::string> name = profiles->Add(simdjson::to_string(one));
    if (!name.ok()) return Wrong(file, "profile " + std::to_string(++number) + ": " + name.status().message());
    ++number;
  }
  return OkStatus();
}

Status TakeRoutes(const std::string& file, dom::element element, RoutesText* text) {
  dom::array array;
  if (element.get_array().get(array) != simdjson::SUCCESS) return Wrong(file, "'routes' is not an array");
  for (const dom::element one : array) {
    if (text->routes.size() == RouteTable::kRoutesMax)
      return Wrong(file, "more than " + std::to_string(RouteTable::kRoutesMax) + " routes");
    Result<RouteText> route = RouteReader(file, text->routes.size() + 1, &text->profiles).Read(one);
    if (!route.ok()) return route.status();
    text->routes.push_back(*std::move(route));
  }
  return text->routes.empty() ? Wrong(file, "there is no route") : OkStatus();
}

// {"profiles": […], "routes": […]}: profiles first, wherever they stand.
Status TakeWhole(const std::string& file, dom::element root, RoutesText* text) {
  if (root.is_array()) return TakeRoutes(file, root, text);
  dom::object object;
  if (root.get_object().get(object) != simdjson::SUCCESS)
    return Wrong(file, "is neither a list of routes nor an object with 'routes'");
  std::set<std::string_view> seen;
  for (const auto [member, value] : object) {
    if (member != "routes" && member != "profiles") return Wrong(file, Unknown(member, {"routes", "profiles"}));
    if (!seen.insert(member).second) return Wrong(file, "'" + std::string(member) + "' is given twice");
  }
  if (!seen.contains("routes")) return Wrong(file, "'routes' is missing");
  dom::element profiles;
  if (object["profiles"].get(profiles) == simdjson::SUCCESS) {
    if (Status status = TakeProfiles(file, profiles, &text->profiles); !status.ok()) return status;
  }
  return TakeRoutes(file, object["routes"].value(), text);
}

// The command's flags, where the route says nothing else. Scope is the name, and another provider has other secrets.
GivenFlags Inherit(const GivenFlags& given, const RouteText& text) {
  GivenFlags flags = text.flags;
  const bool own_provider = text.flags.contains("provider") || text.unset.contains("provider");
  const auto& upstream = text.flags.contains("upstream") ? text.flags : given;
  const auto application = upstream.find("upstream");
  const bool tls = application != upstream.end() && application->second.values[0].starts_with("https://");
  const bool any_provider = text.flags.contains("provider") || (given.contains("provider") && !own_provider);
  for (const auto& [name, flag] : given) {
    if (FindRouteFlag(name) == nullptr || text.unset.contains(name) || name == "scope") continue;
    if ((name == "secret-file" || name == "tolerance") && own_provider) continue;
    if (name == "public-url" && !any_provider) continue;
    if (name == "upstream-ca" && !tls) continue;
    flags.emplace(name, flag);
  }
  return flags;
}

// "--ttl 1h is shorter" as "ttl 1h is shorter": in the file there are no dashes.
std::string WithoutDashes(std::string text) {
  for (size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at)) {
    const bool flag =
        (at == 0 || text[at - 1] == ' ' || text[at - 1] == '(') && at + 2 < text.size() && text[at + 2] != ' ';
    if (flag) text.erase(at, 2);
    at += flag ? 0 : 2;
  }
  return text;
}

Result<RouteOptions> MakeRoute(const RouteText& text, const Profiles& profiles, const GivenFlags& given,
                               std::vector<std::string>* warnings) {
  const GivenFlags flags = Inherit(given, text);
  ServeOptions options;
  options.profiles = profiles;
  if (Status status = ApplyFlags(flags, FlagsOf::kRoute, &options); !status.ok()) return status;
  if (Status status = ApplyPolicies(flags, &options); !status.ok())
    return Wrong(text.where, WithoutDashes(status.message()));
  if (!options.upstream) return Wrong(text.where, "needs 'upstream', its application; or give --upstream for all");
  for (const std::string& warning : options.warnings) warnings->push_back(text.where + ": " + WithoutDashes(warning));
  RouteOptions route{.route = std::move(options.route),
                     .upstream = *std::move(options.upstream),
                     .upstream_ca = std::move(options.upstream_ca),
                     .connect_timeout_ms = options.connect_timeout_ms,
                     .given = flags,
                     .derived = std::move(options.derived)};
  route.route.name = text.name;
  route.route.prefix = text.prefix;
  route.route.shared_scope = text.shared_scope;
  if (!text.flags.contains("scope")) route.route.scope = text.name;
  return route;
}

}  // namespace

Result<RoutesText> ReadRoutesFile(const std::string& file, const Profiles& profiles) {
  const Result<std::string> text = ReadSmallFile(file, kRoutesFileBytesMax);
  if (!text.ok()) return InvalidArgument("--routes: " + text.status().message());
  dom::parser parser;
  const simdjson::padded_string padded(*text);
  dom::element root;
  if (const auto error = parser.parse(padded).get(root); error != simdjson::SUCCESS)
    return Wrong(file, std::string("is not JSON: ") + simdjson::error_message(error));
  RoutesText routes;
  routes.profiles = profiles;
  if (Status status = TakeWhole(file, root, &routes); !status.ok()) return status;
  return routes;
}

Result<std::vector<RouteOptions>> MakeRoutes(const std::string& file, const RoutesText& text, const GivenFlags& given,
                                             std::vector<std::string>* warnings) {
  std::vector<RouteOptions> routes;
  std::vector<std::shared_ptr<const Route>> together;
  for (const RouteText& one : text.routes) {
    Result<RouteOptions> route = MakeRoute(one, text.profiles, given, warnings);
    if (!route.ok()) return route.status();
    together.push_back(std::make_shared<const Route>(route->route));
    routes.push_back(*std::move(route));
  }
  const Result<RouteTable> table = RouteTable::OfSeveral(std::move(together));
  if (!table.ok()) return Wrong(file, table.status().message());
  return routes;
}

}  // namespace oncegate::cli

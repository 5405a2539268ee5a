#include "cli/config_text.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace oncegate::cli {
namespace {

using Values = std::vector<std::string>;

// Nothing: the file's format cannot say it.
std::optional<std::string> Quoted(const std::string& value) {
  // CLI11 takes '#' for the beginning of a comment, also within quotation marks.
  if (value.find_first_of("#\r\n") != std::string::npos || value.ends_with('\\')) return std::nullopt;
  for (const char quote : {'"', '\''}) {
    if (value.find(quote) == std::string::npos) return quote + value + quote;
  }
  return std::nullopt;
}

// "name = value", or "# name = value" and why it is not in force as it stands.
std::string Line(const ServeFlag& flag, const Values& values, bool counts, const std::string& remark) {
  std::string text;
  bool sayable = true;
  for (const std::string& value : values) {
    const std::optional<std::string> quoted = Quoted(value);
    sayable = sayable && quoted.has_value();
    text.append(text.empty() ? "" : ", ").append(quoted.value_or("'" + value + "'"));
  }
  if (flag.repeatable) text = "[" + text + "]";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  std::string line = (counts && sayable ? "" : "# ") + std::string(flag.name) + " = " + text;
  if (!remark.empty()) line += "  # " + remark;
  if (!sayable) line += "; a file cannot hold this value";
  return line + "\n";
}

std::string Empty(const ServeFlag& flag, const std::string& remark) {
  return "# " + std::string(flag.name) + " =" + (remark.empty() ? "" : "  # " + remark) + "\n";
}

// Flags that a provider's profile or a route speaks for where they are not given: a default that a file gives would
// count as given.
bool OthersSet(const ServeFlag& flag) {
  constexpr std::string_view kNames[] = {"methods",     "mode",         "ttl",  "on-mismatch", "in-flight-wait",
                                         "busy-status", "final-status", "type", "key-header",  "scope"};
  return std::find(std::begin(kNames), std::end(kNames), flag.name) != std::end(kNames);
}

// All flags, those of one group together, in the order of the table.
std::vector<const ServeFlag*> FlagsByGroup() {
  std::vector<const ServeFlag*> flags;
  for (const ServeFlag& first : ServeFlags()) {
    const bool begun =
        std::any_of(flags.begin(), flags.end(), [&](const ServeFlag* flag) { return flag->group == first.group; });
    if (begun) continue;
    for (const ServeFlag& flag : ServeFlags()) {
      if (flag.group == first.group) flags.push_back(&flag);
    }
  }
  return flags;
}

std::string InForce(const ServeFlag& flag, const ServeOptions& options) {
  if (const auto given = options.given.find(flag.name); given != options.given.end())
    return Line(flag, given->second.values, true, given->second.origin);
  const bool of_routes = !options.routes.empty() && IsRouteFlag(flag);
  if (const auto derived = options.derived.find(flag.name); derived != options.derived.end() && !of_routes)
    return Line(flag, derived->second.values, true, derived->second.origin);
  if (flag.name == "key-header" && options.route.key_headers.empty() && !of_routes)
    return Empty(flag, options.given.contains("key-pointer") ? "turned off by key-pointer" : "the profile's keys");
  if (flag.name == "final-status") {
    const bool api = options.mode == Mode::kApi;
    const std::string statuses = api ? "1xx,2xx,3xx,4xx,5xx,!401,!403,!407,!408,!409,!425,!429,!502,!503,!504" : "2xx";
    return Line(flag, {statuses}, false, api ? "default of mode api" : "default of mode webhook");
  }
  if (flag.default_text.empty()) return Empty(flag, of_routes ? "" : "not given");
  if (of_routes) return Line(flag, DefaultValues(flag), false, "default of routes");
  const bool by_profile = options.route.provider != nullptr && flag.name == "type";
  return Line(flag, DefaultValues(flag), !by_profile, by_profile ? "default, where the profile has none" : "default");
}

// What is special about a route, as comments.
std::string RouteInForce(const RouteOptions& route) {
  const std::string name = "# route '" + route.route.name + "'";
  std::string text = name + ": paths " + (route.route.prefix.empty() ? "/" : route.route.prefix) + ", scope " +
                     route.route.scope + ", application " + route.upstream.authority + route.upstream.prefix + "\n";
  for (const ServeFlag& flag : ServeFlags()) {
    for (const GivenFlags* values : {&route.given, &route.derived}) {
      const auto value = values->find(flag.name);
      if (value == values->end()) continue;
      text += "#   " + Line(flag, value->second.values, true, value->second.origin);
      break;
    }
  }
  return text;
}

}  // namespace

std::string ConfigInForce(const ServeOptions& options) {
  std::string text;
  std::string_view group;
  for (const ServeFlag* flag : FlagsByGroup()) {
    if (flag->group != group) text += (text.empty() ? "# " : "\n# ") + std::string(group = flag->group) + "\n";
    text += InForce(*flag, options);
  }
  if (!options.routes.empty()) text += "\n# Routes, all else as above\n";
  for (const RouteOptions& route : options.routes) text += RouteInForce(route);
  for (const std::string& warning : options.warnings) text += "# warning: " + warning + "\n";
  return text;
}

std::string ConfigTemplate() {
  std::string text =
      "# Every option of `oncegate serve` with its default: oncegate serve --config oncegate.toml\n"
      "#\n"
      "# Command line and environment (ONCEGATE_TTL) beat this file. What has no default is commented out, and so is "
      "what\n"
      "# a provider's profile or a route knows better: what is given here counts more than a profile.\n";
  std::string_view group;
  for (const ServeFlag* one : FlagsByGroup()) {
    const ServeFlag& flag = *one;
    if (flag.group != group) text += "\n# --- " + std::string(group = flag.group) + "\n";
    text += "\n# " + std::string(flag.help) + " (" + std::string(flag.value) + ")\n";
    text += flag.default_text.empty() ? Empty(flag, "") : Line(flag, DefaultValues(flag), !OthersSet(flag), "");
  }
  return text;
}

}  // namespace oncegate::cli

#include "control/members.h"

#include <simdjson.h>

#include <algorithm>
#include <vector>

namespace oncegate::control {
namespace {

constexpr size_t kQuotedBytesMax = 64;

}  // namespace

std::string Quoted(std::string_view name) {
  return "'" + std::string(name.substr(0, kQuotedBytesMax)) + "'";
}

std::string Listed(std::span<const std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) list.append(list.empty() ? "" : ", ").append(name);
  return list;
}

Status UnknownMember(std::string_view name, std::span<const std::string_view> known) {
  const std::string what = known.empty() ? "; there are none" : "; known are: " + Listed(known);
  return InvalidArgument(Quoted(name) + " is not a member that is known here" + what);
}

Status ReadMembers(std::string_view body, std::string_view what, const Members& members) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  // RFC 8259 section 8.1 allows no byte order mark; simdjson's later versions pass over one.
  if (body.starts_with("\xef\xbb\xbf") || parser.allocate(body.size(), kJsonDepthMax) != simdjson::SUCCESS ||
      parser.parse(body.data(), body.size()).get(object) != simdjson::SUCCESS)
    return InvalidArgument(std::string(what));
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : object) {
    const auto member = members.find(name);
    if (member == members.end()) {
      std::vector<std::string_view> known;
      for (const auto& [its_name, reader] : members) known.push_back(its_name);
      return UnknownMember(name, known);
    }
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) return InvalidArgument(Quoted(name) + " is repeated");
    seen.push_back(name);
    if (Status status = member->second(value); !status.ok()) return status;
  }
  return OkStatus();
}

}  // namespace oncegate::control

#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace simdjson::dom {
class element;
}

// For the .cc files of this folder that read JSON. What is refused by name here names what would be right, so that a
// reader of the answer, and the test of data/openapi.json, knows all of it.
namespace oncegate::control {

// How deep the objects and lists of a request's body may be nested; no operation needs more than four levels.
inline constexpr size_t kJsonDepthMax = 16;

// Reads the members of the body of one kind of request.
using Members = std::map<std::string_view, std::function<Status(const simdjson::dom::element&)>>;

// Hands each member of the object `body` to its reader. InvalidArgument for what is no JSON object (`what` says what
// would be), for members without a reader and for repeated ones; and the first error of a reader.
Status ReadMembers(std::string_view body, std::string_view what, const Members& members);

// 'name', cut to a length that is fit for an answer.
std::string Quoted(std::string_view name);

// "'nmae' is not a member that is known here; known are: key, name".
Status UnknownMember(std::string_view name, std::span<const std::string_view> known);

// "a, b, c"
std::string Listed(std::span<const std::string_view> names);

}  // namespace oncegate::control

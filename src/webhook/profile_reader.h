#pragma once

#include <string_view>
#include <vector>

#include "webhook/profile.h"

namespace oncegate {

// The small languages within a profile. Paths that are met are added to `*paths`.

// "header:NAME", "header_decoded:NAME", "json:POINTER", "form:NAME", "form:NAME#POINTER", "query:NAME", "body",
// "signed".
Result<Source> ParseSource(std::string_view text, std::vector<JsonPath>* paths);

// "{body}", "{ts}", "{method}", "{url}", "{url_decoded}", "{secret}", "{h:NAME}", "{q:NAME}", "{q_lower:NAME}",
// "{f:NAME}", "{j:POINTER}" in literal text; "[…]" may be absent.
Result<std::vector<TemplatePiece>> ParseTemplate(std::string_view text, std::vector<JsonPath>* paths);

// Where `path` is among the paths, added if it was not.
size_t AddPath(JsonPath path, std::vector<JsonPath>* paths);

}  // namespace oncegate

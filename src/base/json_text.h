#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace oncegate {

// The length of the UTF-8 sequence that `text` begins with, or 0 where it is not well formed (RFC 3629: no overlong
// forms, no surrogates, nothing beyond U+10FFFF). REQUIRES: `text` is not empty.
size_t Utf8Length(std::string_view text);

// Appends `text` as a JSON string (RFC 8259 section 7), quotation marks included. What comes out is valid UTF-8
// whatever goes in: bytes that are not become U+FFFD. Control characters are escaped, so that it is always one line.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace oncegate

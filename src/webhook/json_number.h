#pragma once

#include <cstddef>
#include <string_view>

namespace oncegate {

// The longest text whose parser a thread keeps: buffers are many times as large as the text.
inline constexpr size_t kKeptParserBytesMax = 256 * 1024;

// Whether `text` is a number by the grammar of RFC 8259 section 6.
bool IsJsonNumber(std::string_view text);

// `text` without the blanks of JSON at its end: simdjson gives a token together with those behind it.
std::string_view TrimJsonSpace(std::string_view text);

}  // namespace oncegate

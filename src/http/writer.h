#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/error.h"

namespace oncegate::http {

// "Name: value\r\n" at the end of `*out`. REQUIRES: neither holds CR, LF or NUL; callers pass on vetted bytes only.
void AppendField(std::string_view name, std::string_view value, std::string* out);
void AppendField(std::string_view name, uint64_t value, std::string* out);

// "HTTP/1.1 200 OK\r\n". An empty reason gets the standard phrase, or none where there is none.
void AppendStatusLine(int status, std::string_view reason, std::string* out);

// One chunk of a chunked body; an empty `data` appends nothing. AppendLastChunk ends the body.
void AppendChunk(std::string_view data, std::string* out);
void AppendLastChunk(std::string* out);

std::string_view StandardReason(int status);

// Whether a response of this status never has a body (1xx, 204, 304).
bool StatusHasNoBody(int status);

// Now as an HTTP date (RFC 9110 section 5.6.7), "Mon, 23 Nov 2026 21:43:59 GMT".
std::string FormatHttpDate(int64_t unix_ms);

}  // namespace oncegate::http

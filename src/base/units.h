#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace oncegate {

// Durations as people write them: a whole number and one of ms, s, m, h, d ("500ms", "30s", "7d"). The result is in
// milliseconds. Anything else, a missing unit, and values beyond 100 years are InvalidArgument. "0s" is zero.
Result<int64_t> ParseDurationMs(std::string_view text);

// Sizes: a whole number and one of B, KiB, MiB, GiB ("64KiB"); a bare number is bytes. Values beyond 2^62 are
// InvalidArgument.
Result<int64_t> ParseSizeBytes(std::string_view text);

// The shortest exact form that the parsers above read back ("90s", "24h", "10MiB").
std::string FormatDurationMs(int64_t ms);
std::string FormatSizeBytes(int64_t bytes);

// A size for people: one decimal place ("1.5 MiB").
std::string HumanBytes(int64_t bytes);

// RFC 3339 in UTC with milliseconds ("2026-11-23T21:43:59.123Z"). `unix_ms` before 1970 is shown as 1970.
std::string FormatRfc3339(int64_t unix_ms);

// The moments of RFC 3339 section 5.6, and as databases write them: a space for the 'T', an offset without minutes or
// none at all, which then is UTC. Digits beyond milliseconds are cut off. In milliseconds since 1970; anything else,
// days that do not exist, and years before 1970 are InvalidArgument.
Result<int64_t> ParseRfc3339Ms(std::string_view text);

}  // namespace oncegate

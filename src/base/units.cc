#include "base/units.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

namespace oncegate {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 4> kSizeUnits{{{"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}}};
constexpr int64_t kDurationMsMax = 100LL * 365 * 86'400'000;
constexpr int64_t kSizeBytesMax = int64_t{1} << 62;

// Splits "30s" into 30 and "s".
bool SplitNumber(std::string_view text, int64_t* number, std::string_view* unit) {
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, *number);
  if (error != std::errc{} || *number < 0 || text.front() == '-') return false;
  *unit = std::string_view(rest, static_cast<size_t>(end - rest));
  return true;
}

template <size_t N>
Result<int64_t> Parse(std::string_view text, const std::array<Unit, N>& units, int64_t max, const char* wanted) {
  int64_t number = 0;
  std::string_view name;
  if (!text.empty() && SplitNumber(text, &number, &name)) {
    for (const Unit& unit : units) {
      if (name != unit.name) continue;
      if (number > max / unit.factor) return InvalidArgument("'" + std::string(text) + "' is too large");
      return number * unit.factor;
    }
  }
  return InvalidArgument("'" + std::string(text) + "' is not " + wanted);
}

template <size_t N>
std::string Format(int64_t value, const std::array<Unit, N>& units) {
  for (size_t i = N; i-- > 1;) {
    if (value != 0 && value % units[i].factor == 0)
      return std::to_string(value / units[i].factor) + std::string(units[i].name);
  }
  return std::to_string(value) + std::string(units[0].name);
}

}  // namespace

Result<int64_t> ParseDurationMs(std::string_view text) {
  return Parse(text, kDurationUnits, kDurationMsMax, "a duration such as 500ms, 30s, 5m, 24h or 7d");
}

Result<int64_t> ParseSizeBytes(std::string_view text) {
  int64_t number = 0;
  std::string_view unit;
  if (!text.empty() && SplitNumber(text, &number, &unit) && unit.empty()) {
    if (number > kSizeBytesMax) return InvalidArgument("'" + std::string(text) + "' is too large");
    return number;
  }
  return Parse(text, kSizeUnits, kSizeBytesMax, "a size such as 4096, 64KiB, 10MiB or 1GiB");
}

std::string FormatDurationMs(int64_t ms) {
  return ms == 0 ? "0s" : Format(ms, kDurationUnits);
}
std::string FormatSizeBytes(int64_t bytes) {
  return Format(bytes, kSizeUnits);
}

std::string HumanBytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  const int length =
      std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kNames[unit]);  // NOLINT
  return {text.data(), static_cast<size_t>(length)};
}

std::string FormatRfc3339(int64_t unix_ms) {
  if (unix_ms < 0) unix_ms = 0;
  const time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const int length = std::snprintf(
      text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,  // NOLINT
      parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(unix_ms % 1000));
  return {text.data(), static_cast<size_t>(length)};
}

namespace {

// Takes `count` digits off the front; false if they are not there.
bool TakeDigits(std::string_view* text, size_t count, int* value) {
  if (text->size() < count) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + count, *value);
  if (error != std::errc() || end != text->data() + count || text->front() == '-') return false;
  text->remove_prefix(count);
  return true;
}

bool Take(std::string_view* text, std::string_view one_of) {
  if (text->empty() || one_of.find(text->front()) == std::string_view::npos) return false;
  text->remove_prefix(1);
  return true;
}

// What stands behind the seconds: nothing, Z, or +HH, +HHMM, +HH:MM.
bool TakeOffset(std::string_view* text, std::chrono::minutes* offset) {
  *offset = std::chrono::minutes(0);
  if (text->empty() || Take(text, "Zz")) return true;
  const bool west = text->front() == '-';
  int hours = 0;
  int minutes = 0;
  if (!Take(text, "+-") || !TakeDigits(text, 2, &hours)) return false;
  (void)Take(text, ":");
  if (!text->empty() && !TakeDigits(text, 2, &minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  *offset = std::chrono::minutes((west ? -1 : 1) * (60 * hours + minutes));
  return true;
}

// What stands behind a point: any number of digits, of which three count.
bool TakeMilliseconds(std::string_view* text, int* ms) {
  *ms = 0;
  if (!Take(text, ".,")) return true;
  int digits = 0;
  for (; !text->empty() && text->front() >= '0' && text->front() <= '9'; text->remove_prefix(1), ++digits) {
    if (digits < 3) *ms = *ms * 10 + (text->front() - '0');
  }
  for (int i = digits; i < 3; ++i) *ms *= 10;
  return digits > 0;
}

}  // namespace

Result<int64_t> ParseRfc3339Ms(std::string_view text) {
  const Status wrong =
      InvalidArgument("'" + std::string(text.substr(0, 40)) + "' is not a time such as 2026-11-23T21:43:59Z");
  std::string_view rest = text;
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
  std::chrono::minutes offset{};
  const bool read = TakeDigits(&rest, 4, &year) && Take(&rest, "-") && TakeDigits(&rest, 2, &month) &&
                    Take(&rest, "-") && TakeDigits(&rest, 2, &day) && Take(&rest, "Tt ") &&
                    TakeDigits(&rest, 2, &hour) && Take(&rest, ":") && TakeDigits(&rest, 2, &minute) &&
                    Take(&rest, ":") && TakeDigits(&rest, 2, &second) && TakeMilliseconds(&rest, &ms) &&
                    TakeOffset(&rest, &offset) && rest.empty();
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // A leap second is the one after it.
  if (!read || !date.ok() || year < 1970 || hour > 23 || minute > 59 || second > 60) return wrong;
  const auto moment = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) - offset +
                      std::chrono::seconds(second) + std::chrono::milliseconds(ms);
  return std::chrono::duration_cast<std::chrono::milliseconds>(moment.time_since_epoch()).count();
}

}  // namespace oncegate

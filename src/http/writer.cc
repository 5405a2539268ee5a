#include "http/writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace oncegate::http {
namespace {

void AppendNumber(uint64_t value, int base, std::string* out) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base);
  out->append(digits.data(), end.ptr);
}

void AppendTwoDigits(int value, std::string* out) {
  out->push_back(static_cast<char>('0' + value / 10 % 10));
  out->push_back(static_cast<char>('0' + value % 10));
}

struct Reason {
  int status;
  std::string_view phrase;
};

// RFC 9110 section 15 and the registry beyond it, in order of status.
constexpr std::array<Reason, 61> kReasons = {{
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
}};

}  // namespace

void AppendField(std::string_view name, std::string_view value, std::string* out) {
  out->append(name).append(": ").append(value).append("\r\n");
}

void AppendField(std::string_view name, uint64_t value, std::string* out) {
  out->append(name).append(": ");
  AppendNumber(value, 10, out);
  out->append("\r\n");
}

void AppendStatusLine(int status, std::string_view reason, std::string* out) {
  out->append("HTTP/1.1 ");
  AppendNumber(static_cast<uint64_t>(status), 10, out);
  // The space belongs to the line even where no phrase follows it (RFC 9112 section 4).
  out->append(" ").append(reason.empty() ? StandardReason(status) : reason).append("\r\n");
}

void AppendChunk(std::string_view data, std::string* out) {
  if (data.empty()) return;
  AppendNumber(data.size(), 16, out);
  out->append("\r\n").append(data).append("\r\n");
}

void AppendLastChunk(std::string* out) {
  out->append("0\r\n\r\n");
}

std::string_view StandardReason(int status) {
  const auto it = std::lower_bound(kReasons.begin(), kReasons.end(), status,
                                   [](const Reason& reason, int wanted) { return reason.status < wanted; });
  return it != kReasons.end() && it->status == status ? it->phrase : std::string_view();
}

bool StatusHasNoBody(int status) {
  return (status >= 100 && status < 200) || status == 204 || status == 304;
}

std::string FormatHttpDate(int64_t unix_ms) {
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(std::max<int64_t>(unix_ms, 0) / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::string date;
  date.reserve(29);
  date.append(kDays[static_cast<size_t>(utc.tm_wday)]).append(", ");
  AppendTwoDigits(utc.tm_mday, &date);
  date.append(" ").append(kMonths[static_cast<size_t>(utc.tm_mon)]).append(" ");
  const int year = utc.tm_year + 1900;
  AppendTwoDigits(year / 100, &date);
  AppendTwoDigits(year, &date);
  date.append(" ");
  AppendTwoDigits(utc.tm_hour, &date);
  date.append(":");
  AppendTwoDigits(utc.tm_min, &date);
  date.append(":");
  AppendTwoDigits(utc.tm_sec, &date);
  date.append(" GMT");
  return date;
}

}  // namespace oncegate::http

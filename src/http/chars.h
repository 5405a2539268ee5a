#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace oncegate::http {

// What a byte may be part of (RFC 9110 section 5.6, RFC 3986 section 3.2.2). One table, so that every check of a byte
// is one load.
enum CharClass : uint8_t {
  kTokenChar = 1,
  kTargetChar = 2,   // request targets: visible ASCII less '#', which only belongs to fragments
  kHostChar = 4,     // a Host value: unreserved, sub-delims, ':', '[', ']', '%'
  kControlChar = 8,  // all of 0x00-0x1f and 0x7f but HTAB
  kDigitChar = 16,
};

namespace internal {

consteval bool IsAlnum(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

consteval std::array<uint8_t, 256> MakeCharTable() {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kHostMarks = "-._~!$&'()*+,;=:[]%";
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const char as_char = static_cast<char>(c);
    int classes = 0;
    if (IsAlnum(c) || (c < 128 && kTokenMarks.find(as_char) != std::string_view::npos)) classes |= kTokenChar;
    if (IsAlnum(c) || (c < 128 && kHostMarks.find(as_char) != std::string_view::npos)) classes |= kHostChar;
    if (c >= 0x21 && c <= 0x7e && c != '#') classes |= kTargetChar;
    if ((c < 0x20 && c != '\t') || c == 0x7f) classes |= kControlChar;
    if (c >= '0' && c <= '9') classes |= kDigitChar;
    table[static_cast<size_t>(c)] = static_cast<uint8_t>(classes);
  }
  return table;
}

}  // namespace internal

inline constexpr std::array<uint8_t, 256> kCharTable = internal::MakeCharTable();

constexpr bool HasClass(char c, CharClass char_class) {
  return (kCharTable[static_cast<uint8_t>(c)] & char_class) != 0;
}

// How many bytes at the start of `text` are of that class.
constexpr size_t SpanOf(std::string_view text, CharClass char_class) {
  size_t n = 0;
  while (n < text.size() && HasClass(text[n], char_class)) ++n;
  return n;
}

// The value of a hexadecimal digit, or -1.
constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr std::string_view TrimSpaces(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Whether a comma-separated list has the token. Quoted strings are not understood: no list that is asked for has them.
bool ListHasToken(std::string_view list, std::string_view token);

}  // namespace oncegate::http

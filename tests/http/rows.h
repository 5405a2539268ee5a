#pragma once

#include <string>
#include <string_view>

#include "http/chars.h"

namespace oncegate::http {

// Tables of messages stay readable with '|' for CRLF and <0d> for any byte.
inline std::string Bytes(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '|') {
      bytes += "\r\n";
    } else if (text[i] == '<' && i + 3 < text.size() && text[i + 3] == '>') {
      bytes += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
      i += 3;
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

inline std::string Repeat(std::string_view text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) repeated += text;
  return repeated;
}

}  // namespace oncegate::http

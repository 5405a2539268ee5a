#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

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

// In files long rows stay short with {text*1000} for the text a thousand times.
inline std::string Unfold(std::string_view text) {
  std::string unfolded;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t star = text.find('*', i);
    const size_t end = text.find('}', i);
    if (text[i] != '{' || star == std::string_view::npos || end == std::string_view::npos || star > end) {
      unfolded += text[i];
      continue;
    }
    const std::string_view repeated = text.substr(i + 1, star - i - 1);
    const int times = std::atoi(std::string(text.substr(star + 1, end - star - 1)).c_str());
    for (int n = 0; n < times; ++n) unfolded += repeated;
    i = end;
  }
  return unfolded;
}

struct RawRequestRow {
  int line = 0;
  std::string stream;
  std::string verdict;
};

// The rows of raw_requests.txt, whose beginning says how they are written.
inline std::vector<RawRequestRow> ReadRawRequests(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<RawRequestRow> rows;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#' || line[0] == ' ') continue;
    const size_t arrow = line.rfind(" => ");
    if (arrow == std::string::npos) {
      ADD_FAILURE() << "line " << number << " has no verdict: " << line;
      continue;
    }
    rows.push_back({number, Bytes(Unfold(line.substr(0, arrow))), line.substr(arrow + 4)});
  }
  return rows;
}

inline std::string Repeat(std::string_view text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) repeated += text;
  return repeated;
}

}  // namespace oncegate::http

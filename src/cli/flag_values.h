#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace oncegate::cli {

// Readers of single flag values. Each leaves `*out` as it was on InvalidArgument, whose message quotes the value and
// says what would be right; the caller puts the flag's name before it.

// A duration within [min_ms, max_ms].
Status ReadDuration(const std::string& text, int64_t min_ms, int64_t max_ms, int64_t* out);
// A size within [min_bytes, max_bytes].
Status ReadSize(const std::string& text, int64_t min_bytes, int64_t max_bytes, int64_t* out);
// A whole number within [min, max].
Status ReadNumber(const std::string& text, int64_t min, int64_t max, int64_t* out);
Status ReadCount(const std::string& text, int64_t min, int64_t max, size_t* out);

// One of a few words.
template <typename T>
Status ReadChoice(const std::string& text, const std::vector<std::pair<std::string_view, T>>& choices, T* out) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) {
      *out = value;
      return OkStatus();
    }
    names.append(names.empty() ? "" : &name == &choices.back().first ? " or " : ", ").append(name);
  }
  return InvalidArgument("'" + text + "' is not " + names);
}

// The name of a file or directory.
Status ReadPath(const std::string& text, std::string* out);
// The name of a header field.
Status ReadFieldName(const std::string& text, std::string* out);
// "POST,PATCH". HEAD, CONNECT and TRACE are refused: what they ask for cannot be remembered and replayed.
Status ReadMethods(const std::string& text, std::vector<std::string>* out);

// The name that somebody probably meant who wrote `text`; empty: none is near.
std::string_view NearestName(std::string_view text, const std::vector<std::string_view>& names);

}  // namespace oncegate::cli

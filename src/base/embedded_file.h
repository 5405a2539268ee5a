#pragma once

#include <string_view>

namespace oncegate {

// A text file of data/ that is part of the binary (oncegate_embed of cmake/oncegate.cmake).
struct EmbeddedFile {
  std::string_view name;  // without its folder
  std::string_view text;
  std::string_view sha256;  // of the text, in hexadecimal digits
};

}  // namespace oncegate

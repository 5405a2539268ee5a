#include "cli/files.h"

#include <array>
#include <fstream>

namespace oncegate::cli {

Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 16 * 1024> piece;
  while (file && text.size() <= bytes_max) {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<size_t>(file.gcount()));
  }
  // A directory opens, and fails when it is read.
  if (!file && !file.eof()) return InvalidArgument("'" + path + "' cannot be read");
  if (text.size() > bytes_max)
    return InvalidArgument("'" + path + "' is larger than " + std::to_string(bytes_max) + " bytes");
  return text;
}

}  // namespace oncegate::cli

#include "cli/files.h"

#include <fstream>

namespace oncegate::cli {

Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes_max + 1, '\0');
  // A directory opens, and fails when it is read.
  if (!file || !(file.read(text.data(), static_cast<std::streamsize>(text.size())) || file.eof()))
    return InvalidArgument("'" + path + "' cannot be read");
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > bytes_max)
    return InvalidArgument("'" + path + "' is larger than " + std::to_string(bytes_max) + " bytes");
  return text;
}

}  // namespace oncegate::cli

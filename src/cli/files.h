#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"

namespace oncegate::cli {

// The content of a file. InvalidArgument, with a message for the terminal, if it cannot be read or is larger.
Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max);

}  // namespace oncegate::cli

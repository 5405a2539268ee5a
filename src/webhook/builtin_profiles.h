#pragma once

#include <span>

#include "base/embedded_file.h"

namespace oncegate {

// The files of data/providers/ as they are; the definition is made by CMake.
std::span<const EmbeddedFile> BuiltinProfileFiles();

}  // namespace oncegate

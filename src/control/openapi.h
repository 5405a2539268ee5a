#pragma once

#include <span>
#include <string_view>

#include "base/embedded_file.h"

namespace oncegate::control {

// data/openapi.json alone; the definition is made by CMake.
std::span<const EmbeddedFile> OpenApiFiles();

inline std::string_view OpenApiText() {
  return OpenApiFiles().front().text;
}

}  // namespace oncegate::control

#pragma once

#include <span>

#include "base/embedded_file.h"

namespace oncegate::control {

// The files of data/dashboard/ as they are; the definition is made by CMake.
std::span<const EmbeddedFile> DashboardFiles();

}  // namespace oncegate::control

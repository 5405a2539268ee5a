#pragma once

#include <string_view>

namespace oncegate::cli {

// The version of this program ("0.1.0").
std::string_view Version();

}  // namespace oncegate::cli

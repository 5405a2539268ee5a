#pragma once

#include <span>
#include <string_view>

namespace oncegate {

// The files of data/providers/ as they are; the definition is made by CMake.
std::span<const std::string_view> BuiltinProfileTexts();

}  // namespace oncegate

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace oncegate {

// What must hold whatever the input is. The fuzzer reports the place, and keeps the input.
inline void Require(bool holds) {
  if (!holds) std::abort();
}

// The input of one run. libFuzzer keeps it in a buffer of exactly its size, so that reads past it are seen.
inline std::string_view InputText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The first line of `*input`, which is left without it.
inline std::string_view TakeLine(std::string_view* input) {
  const size_t end = input->find('\n');
  const std::string_view line = input->substr(0, end);
  input->remove_prefix(end == std::string_view::npos ? input->size() : end + 1);
  return line;
}

}  // namespace oncegate

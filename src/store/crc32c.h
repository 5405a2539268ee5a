#pragma once

#include <cstdint>
#include <string_view>

namespace oncegate::store {

// CRC-32C (Castagnoli) of `bytes`, continuing from the checksum of what came before them (0: nothing). Finds every
// error of one bit, and every burst of up to 32. Uses the processor's instruction where there is one.
uint32_t Crc32c(std::string_view bytes, uint32_t before = 0) noexcept;

// The same by table, for processors without the instruction and for tests that compare the two.
uint32_t Crc32cByTable(std::string_view bytes, uint32_t before = 0) noexcept;

}  // namespace oncegate::store

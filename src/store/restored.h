#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace oncegate::store {

// What a restored store carries (docs/record-format.md). Times in milliseconds; stored time, except restored_at_ms,
// which is the calendar's.
//   mark := version:u8 taken_at:u64 restored_at:u64 started_at:u64
struct RestoredMark {
  int64_t taken_at_ms = 0;
  int64_t restored_at_ms = 0;
  int64_t started_at_ms = 0;  // when a server was first started on it; 0: not yet
};

std::string EncodeRestoredMark(const RestoredMark& mark);
// False if it cannot be read.
bool DecodeRestoredMark(std::string_view value, RestoredMark* mark);

}  // namespace oncegate::store

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// RocksDB's log format: blocks of 32 KiB; in each, records that do not cross its end:
//   record := checksum:u32 length:u16 type:u8 payload     numbers little-endian
// with the CRC-32C of type and payload, masked. Fewer bytes than a header at a block's end are padding. What is written
// together is one record, or several parts of one in as many blocks.
namespace oncegate::store {

inline constexpr size_t kLogBlockBytes = 32 << 10;
inline constexpr size_t kLogHeaderBytes = 7;

// Others stand by themselves, as kFull does, and hold nothing that was written.
enum class LogRecordType : uint8_t { kNone = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

struct LogRecord {
  enum class State : uint8_t {
    kNone,   // a header of zeros: room that was set aside
    kLong,   // longer than what is there
    kWrong,  // the checksum does not match
    kWhole,
  };
  State state;
  LogRecordType type;
  size_t length;  // of the payload
};

// The record that `bytes`, the rest of a block, begin with. REQUIRES: a header is there.
LogRecord ReadLogRecord(std::string_view bytes);

// Whether the record would match its checksum if it ended somewhere before the end of `bytes`: it is the length that is
// wrong then, and not that bytes are missing.
bool MatchesShorter(std::string_view bytes);

}  // namespace oncegate::store

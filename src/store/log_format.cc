#include "store/log_format.h"

#include "store/crc32c.h"

namespace oncegate::store {
namespace {

constexpr size_t kLengthOffset = 4;
constexpr size_t kTypeOffset = 6;

uint32_t Masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

uint32_t ChecksumIn(std::string_view bytes) {
  return LittleEndian(bytes.substr(0, kLengthOffset));
}

}  // namespace

LogRecord ReadLogRecord(std::string_view bytes) {
  const size_t length = LittleEndian(bytes.substr(kLengthOffset, kTypeOffset - kLengthOffset));
  const auto type = static_cast<LogRecordType>(bytes[kTypeOffset]);
  const uint32_t checksum = ChecksumIn(bytes);
  if (checksum == 0 && length == 0 && type == LogRecordType::kNone) return {LogRecord::State::kNone, type, 0};
  if (length > bytes.size() - kLogHeaderBytes) return {LogRecord::State::kLong, type, length};
  const bool matches = Masked(Crc32c(bytes.substr(kTypeOffset, 1 + length))) == checksum;
  return {matches && type != LogRecordType::kNone ? LogRecord::State::kWhole : LogRecord::State::kWrong, type, length};
}

bool MatchesShorter(std::string_view bytes) {
  const uint32_t checksum = ChecksumIn(bytes);
  const std::string_view payload = bytes.substr(kLogHeaderBytes);
  uint32_t crc = Crc32c(bytes.substr(kTypeOffset, 1));
  for (size_t i = 0;; ++i) {
    if (Masked(crc) == checksum) return true;
    if (i == payload.size()) return false;
    crc = Crc32c(payload.substr(i, 1), crc);
  }
}

}  // namespace oncegate::store

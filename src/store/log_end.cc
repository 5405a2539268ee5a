#include "store/log_end.h"

#include <algorithm>

#include "store/log_format.h"

namespace oncegate::store {
namespace {

constexpr size_t kSectorBytes = 512;
// A few zeros where a sector begins are in the nature of records: they end with lengths of nothing.
constexpr size_t kLostBytesMin = 8;

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

bool Begins(LogRecordType type) {
  return type != LogRecordType::kMiddle && type != LogRecordType::kLast;
}

// Whether part of what should be in [begin, end) of the block never arrived: a sector, or the end.
bool LacksPart(std::string_view block, size_t begin, size_t end) {
  for (size_t from = begin; from < end;) {
    const size_t to = std::min(end, (from / kSectorBytes + 1) * kSectorBytes);
    if (to - from >= kLostBytesMin && AllZero(block.substr(from, to - from))) return true;
    from = to;
  }
  // A process that was stopped amid a write left the beginning, wherever that ends.
  return end - begin >= kLostBytesMin && AllZero(block.substr(end - kLostBytesMin, kLostBytesMin));
}

// Whether the sector after the one in which the header begins never arrived, and part of the header with it.
bool HeaderLacksItsEnd(std::string_view block, size_t begin) {
  const size_t next = (begin / kSectorBytes + 1) * kSectorBytes;
  if (next >= begin + kLogHeaderBytes || next >= block.size()) return false;
  return AllZero(block.substr(next, kSectorBytes));
}

}  // namespace

LogState LogJudge::state() const {
  if (damaged_) return LogState::kDamaged;
  return remains_ || in_record_ ? LogState::kCutOff : LogState::kSound;
}

void LogJudge::Add(std::string_view block) {
  if (!damaged_) {
    if (over_)
      AddRemains(block, 0);
    else
      AddRecords(block);
  }
  begin_ += block.size();
}

void LogJudge::AddRecords(std::string_view block) {
  size_t at = 0;
  while (at + kLogHeaderBytes <= block.size()) {
    const LogRecord record = ReadLogRecord(block.substr(at));
    if (record.state != LogRecord::State::kWhole) {
      over_ = true;
      return AddRemains(block, at);
    }
    damaged_ = Begins(record.type) == in_record_;
    if (damaged_) return;
    at += kLogHeaderBytes + record.length;
    in_record_ = record.type == LogRecordType::kFirst || record.type == LogRecordType::kMiddle;
    if (!in_record_) end_ = begin_ + at;
  }
  // A shorter block is the last one: of a header there is a part.
  if (block.size() < kLogBlockBytes && !AllZero(block.substr(at))) remains_ = true;
}

// From `begin` on: zeros, or a part of the record whose write was interrupted, and nothing behind it in this block.
void LogJudge::AddRemains(std::string_view block, size_t begin) {
  const std::string_view rest = block.substr(begin);
  if (AllZero(rest)) return;
  remains_ = true;
  // Not a whole header, and no payload.
  if (rest.size() < kLogHeaderBytes || AllZero(rest.substr(kLogHeaderBytes))) return;
  const LogRecord record = ReadLogRecord(rest);
  // Where the part's first sector is missing nothing says what the others are.
  if (record.state == LogRecord::State::kNone || HeaderLacksItsEnd(block, begin)) return;
  if (record.state == LogRecord::State::kWhole) {
    // A record that begins was written after this one.
    damaged_ = Begins(record.type) || !AllZero(rest.substr(kLogHeaderBytes + record.length));
    return;
  }
  const size_t end = std::min(begin + kLogHeaderBytes + record.length, block.size());
  const bool is_cut = block.size() < kLogBlockBytes && begin + kLogHeaderBytes + record.length > block.size();
  const bool interrupted = (is_cut || LacksPart(block, begin, end)) && !MatchesShorter(rest.substr(0, end - begin));
  damaged_ = !interrupted || !AllZero(block.substr(end));
}

}  // namespace oncegate::store

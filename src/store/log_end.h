#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// Where a log ends, and whether it is what was written.
namespace oncegate::store {

enum class LogState : uint8_t {
  kSound,
  kCutOff,   // ends within a record, as it does when a write was interrupted
  kDamaged,  // is not what was written
};

// Judges a log whose writes were each synced before the next began. What may follow its last whole record is then what
// an interrupted write has left: one record that is cut off or, in a log with room behind it (log_room.h), of which
// some of the disk's sectors are still zeros. Anything else there is damage, and so is all that is wrong before it.
//
// RocksDB takes a record that is longer than what is left of the file for an interrupted write, and says nothing. But
// if the bytes that are there match the record's checksum at some shorter length, it is the length that is wrong, and
// what follows was written, too. What cannot be told from an interrupted write is a wrong bit in the last record of
// all, should that record hold a sector of zeros, or end with eight.
//
// Takes the log's blocks in order. Not thread-safe.
class LogJudge {
 public:
  // The next block, of kLogBlockBytes; only the last may be shorter.
  void Add(std::string_view block);

  [[nodiscard]] LogState state() const;
  // Where the last whole record ends.
  [[nodiscard]] uint64_t end() const { return end_; }

 private:
  void AddRecords(std::string_view block);
  void AddRemains(std::string_view block, size_t begin);

  uint64_t begin_ = 0;  // of the next block
  uint64_t end_ = 0;
  bool in_record_ = false;  // whose first part is there, and whose last part is not yet
  bool over_ = false;       // the last whole record was seen
  bool remains_ = false;    // and something after it
  bool damaged_ = false;
};

}  // namespace oncegate::store

#pragma once

#include <string>
#include <string_view>
#include <vector>

// Finding out which file is damaged, where RocksDB does not say it, and damage that it takes for something else.
namespace oncegate::store {

// What a log (of writes, or of the manifest: both have one format) is like.
enum class LogState {
  kSound,
  kCutOff,   // ends within a record, as it does when a write was interrupted
  kDamaged,  // is not what was written
};

// Judges the bytes of a log from the start of one of its blocks on.
//
// A reader that finds a record longer than what is left of the file takes it for one whose write was interrupted, and
// says nothing. But if the bytes that are there match the record's checksum at some shorter length, then it is the
// length that is wrong, and what follows was written, too.
LogState CheckLog(std::string_view bytes);

// The names of those logs whose last block is damaged, of the database in `directory`.
std::vector<std::string> LogsWithDamagedEnds(const std::string& directory);

// The names of the logs and tables that cannot be read; reads all logs, and of tables what opening one needs. For when
// a database cannot be opened.
std::vector<std::string> DamagedFiles(const std::string& directory);

}  // namespace oncegate::store

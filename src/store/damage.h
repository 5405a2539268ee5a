#pragma once

#include <string>
#include <vector>

// Finding out which file is damaged, where RocksDB does not say it, and damage that it takes for something else.
namespace oncegate::store {

// The names of those logs (of writes, and the manifest: both have one format) that are not what was written, of the
// database in `directory`. REQUIRES: every write was synced before the next.
std::vector<std::string> DamagedLogs(const std::string& directory);

// The names of those logs of writes that cannot be read to their end, by damage or because a write was interrupted.
std::vector<std::string> LogsCutShort(const std::string& directory);

// The names of the logs and tables that cannot be read; reads all logs, and of tables what opening one needs. For when
// a database cannot be opened.
std::vector<std::string> DamagedFiles(const std::string& directory);

}  // namespace oncegate::store

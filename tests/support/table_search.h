#pragma once

#include <string>

namespace oncegate {

// Searches keys and values of a store of RocksDB as RocksDB reads them: decompressed, blobs included, also entries that
// have been deleted or overwritten and are still in a table. The store must not be open elsewhere. Returns the places,
// each with a space behind it: a column family, "FAMILY(versions)" for what only its history has, or "(cannot be read:
// …)".
std::string FamiliesWith(const std::string& directory, const std::string& text);

// The same for each table file anywhere below a directory, whatever it belongs to: the names of the files. Backups are
// searched so, too.
std::string TablesWith(const std::string& directory, const std::string& text);

}  // namespace oncegate

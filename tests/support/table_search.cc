#include "tests/support/table_search.h"

#include <rocksdb/db.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/utilities/debug.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace oncegate {
namespace {

constexpr size_t kVersionsMax = 1'000'000;

std::string Unreadable(const rocksdb::Status& status) {
  return "(cannot be read: " + status.ToString() + ") ";
}

bool Contains(std::string_view bytes, const std::string& text) {
  return bytes.find(text) != std::string_view::npos;
}

// `place` if an entry has the text.
std::string SearchAll(rocksdb::Iterator* entries, const std::string& text, const std::string& place) {
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    if (Contains(entries->key().ToStringView(), text) || Contains(entries->value().ToStringView(), text))
      return place + " ";
  }
  return entries->status().ok() ? "" : Unreadable(entries->status());
}

std::string SearchVersions(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, const std::string& text) {
  std::vector<rocksdb::KeyVersion> versions;
  const rocksdb::Status status = rocksdb::GetAllKeyVersions(db, family, {}, {}, kVersionsMax, &versions);
  if (!status.ok()) return Unreadable(status);
  const bool found = std::any_of(versions.begin(), versions.end(), [&text](const rocksdb::KeyVersion& version) {
    return Contains(version.user_key, text) || Contains(version.value, text);
  });
  return found ? family->GetName() + "(versions) " : "";
}

}  // namespace

std::string FamiliesWith(const std::string& directory, const std::string& text) {
  std::vector<std::string> names;
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies({}, directory, &names);
  if (!listed.ok()) return Unreadable(listed);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.reserve(names.size());
  for (const std::string& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions());
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly({}, directory, families, &handles, &raw);
  if (!opened.ok()) return Unreadable(opened);
  const std::unique_ptr<rocksdb::DB> db(raw);
  std::string places;
  for (rocksdb::ColumnFamilyHandle* const handle : handles) {
    const std::unique_ptr<rocksdb::Iterator> entries(db->NewIterator({}, handle));
    const std::string place = SearchAll(entries.get(), text, handle->GetName());
    places += place.empty() ? SearchVersions(db.get(), handle, text) : place;
  }
  for (rocksdb::ColumnFamilyHandle* const handle : handles) (void)db->DestroyColumnFamilyHandle(handle);
  return places;
}

std::string TablesWith(const std::string& directory, const std::string& text) {
  std::string places;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.path().extension() != ".sst") continue;
    rocksdb::SstFileReader reader{rocksdb::Options()};
    const rocksdb::Status opened = reader.Open(entry.path());
    if (!opened.ok()) {
      places += Unreadable(opened);
      continue;
    }
    const std::unique_ptr<rocksdb::Iterator> entries(reader.NewIterator({}));
    places += SearchAll(entries.get(), text, entry.path());
  }
  return places;
}

}  // namespace oncegate

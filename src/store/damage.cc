#include "store/damage.h"

#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "store/log_end.h"
#include "store/log_format.h"

namespace oncegate::store {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> FilesIn(const std::string& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    paths.push_back(entry->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The manifest that counts; others may be left over.
std::string CurrentManifest(const std::string& directory) {
  std::ifstream current(fs::path(directory) / "CURRENT");
  std::string name;
  std::getline(current, name);
  return name;
}

// "000012.log" or the manifest; not what somebody else writes into the directory.
bool IsLog(const fs::path& path, const std::string& manifest) {
  const std::string stem = path.stem();
  const bool numbered = !stem.empty() && stem.find_first_not_of("0123456789") == std::string::npos;
  return (numbered && path.extension() == ".log") || path.filename() == manifest;
}

LogState StateOf(const fs::path& log) {
  std::ifstream file(log, std::ios::binary);
  std::string block(kLogBlockBytes, '\0');
  LogJudge judge;
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    judge.Add(std::string_view(block).substr(0, static_cast<size_t>(file.gcount())));
  }
  return judge.state();
}

bool TableOpens(const fs::path& path) {
  rocksdb::SstFileReader reader{rocksdb::Options()};
  return reader.Open(path.string()).ok();
}

}  // namespace

std::vector<std::string> DamagedLogs(const std::string& directory) {
  const std::string manifest = CurrentManifest(directory);
  std::vector<std::string> names;
  for (const fs::path& path : FilesIn(directory)) {
    if (IsLog(path, manifest) && StateOf(path) == LogState::kDamaged) names.push_back(path.filename());
  }
  return names;
}

std::vector<std::string> LogsCutShort(const std::string& directory) {
  std::vector<std::string> names;
  for (const fs::path& path : FilesIn(directory)) {
    if (IsLog(path, {}) && StateOf(path) != LogState::kSound) names.push_back(path.filename());
  }
  return names;
}

std::vector<std::string> DamagedFiles(const std::string& directory) {
  std::vector<std::string> names = DamagedLogs(directory);
  for (const fs::path& path : FilesIn(directory)) {
    if (path.extension() == ".sst" && !TableOpens(path)) names.push_back(path.filename());
  }
  return names;
}

}  // namespace oncegate::store

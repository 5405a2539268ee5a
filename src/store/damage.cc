#include "store/damage.h"

#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "store/crc32c.h"

namespace oncegate::store {
namespace {

namespace fs = std::filesystem;

// RocksDB's log format: blocks of 32 KiB; in each, records that do not cross its end:
//   record := checksum:u32 length:u16 type:u8 payload     numbers little-endian
// with the CRC-32C of type and payload, masked. Fewer bytes than a header at a block's end are padding.
constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kTypeOffset = 6;

uint32_t Masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

// Whether the bytes match the checksum if the record is taken to end somewhere before their end.
bool MatchesSomewhere(uint32_t checksum, char type, std::string_view bytes) {
  uint32_t crc = Crc32c({&type, 1});
  for (size_t i = 0;; ++i) {
    if (Masked(crc) == checksum) return true;
    if (i == bytes.size()) return false;
    crc = Crc32c(bytes.substr(i, 1), crc);
  }
}

LogState CheckBlock(std::string_view block) {
  while (block.size() >= kHeaderBytes) {
    const uint32_t checksum = LittleEndian(block.substr(0, 4));
    const size_t length = LittleEndian(block.substr(4, 2));
    const char type = block[kTypeOffset];
    if (type == 0 && length == 0) return LogState::kSound;  // space that was set aside
    const std::string_view rest = block.substr(kHeaderBytes);
    if (length > rest.size()) return MatchesSomewhere(checksum, type, rest) ? LogState::kDamaged : LogState::kCutOff;
    if (Masked(Crc32c(block.substr(kTypeOffset, 1 + length))) != checksum) return LogState::kDamaged;
    block.remove_prefix(kHeaderBytes + length);
  }
  return LogState::kSound;
}

std::string ReadFrom(const fs::path& path, uintmax_t offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

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
  const std::string name = ReadFrom(fs::path(directory) / "CURRENT", 0);
  return name.substr(0, name.find('\n'));
}

// "000012.log" or the manifest; not what somebody else writes into the directory.
bool IsLog(const fs::path& path, const std::string& manifest) {
  const std::string stem = path.stem();
  const bool numbered = !stem.empty() && stem.find_first_not_of("0123456789") == std::string::npos;
  return (numbered && path.extension() == ".log") || path.filename() == manifest;
}

bool TableOpens(const fs::path& path) {
  rocksdb::SstFileReader reader{rocksdb::Options()};
  return reader.Open(path.string()).ok();
}

}  // namespace

LogState CheckLog(std::string_view bytes) {
  LogState state = LogState::kSound;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kBlockBytes))) {
    // A record that does not fit in a block that others follow was not cut off.
    if (state != LogState::kSound) return LogState::kDamaged;
    state = CheckBlock(bytes.substr(0, kBlockBytes));
    if (state == LogState::kDamaged) return state;
  }
  return state;
}

std::vector<std::string> LogsWithDamagedEnds(const std::string& directory) {
  const std::string manifest = CurrentManifest(directory);
  std::vector<std::string> names;
  for (const fs::path& path : FilesIn(directory)) {
    std::error_code error;
    if (!IsLog(path, manifest)) continue;
    const uintmax_t size = fs::file_size(path, error);
    if (error || size == 0) continue;
    if (CheckLog(ReadFrom(path, (size - 1) / kBlockBytes * kBlockBytes)) == LogState::kDamaged)
      names.push_back(path.filename());
  }
  return names;
}

std::vector<std::string> DamagedFiles(const std::string& directory) {
  const std::string manifest = CurrentManifest(directory);
  std::vector<std::string> names;
  for (const fs::path& path : FilesIn(directory)) {
    const bool bad_log = IsLog(path, manifest) && CheckLog(ReadFrom(path, 0)) == LogState::kDamaged;
    const bool bad_table = path.extension() == ".sst" && !TableOpens(path);
    if (bad_log || bad_table) names.push_back(path.filename());
  }
  return names;
}

}  // namespace oncegate::store

#include "bench/scale/machine.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

namespace oncegate::scale {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;
constexpr uint64_t kBlockBytes = 512;  // of st_blocks
// The log grows by itself, because the store's time is saved.
constexpr uint64_t kUnsettledBytes = 1 << 20;

// The number after `name` in a file of lines "name: number".
uint64_t NumberIn(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10);
  }
  return 0;
}

std::string ProcPath(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

}  // namespace

Usage UsageOf(pid_t pid) {
  std::ifstream file(ProcPath(pid, "stat"));
  std::string line;
  std::getline(file, line);
  // The second field, the program's name, is in parentheses and may hold spaces; the times are fields 14 and 15.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string field;
  double ticks = 0;
  for (int number = 3; number <= 15 && fields >> field; ++number) {
    if (number >= 14) ticks += std::strtod(field.c_str(), nullptr);
  }
  return {.cpu_s = ticks / static_cast<double>(sysconf(_SC_CLK_TCK)),
          .disk_read_bytes = NumberIn(ProcPath(pid, "io"), "read_bytes:"),
          .disk_written_bytes = NumberIn(ProcPath(pid, "io"), "write_bytes:")};
}

uint64_t ResidentBytes(pid_t pid) {
  return NumberIn(ProcPath(pid, "status"), "VmRSS:") * 1024;
}

uint64_t DirectoryBytes(const std::string& directory, const std::string& extension) {
  uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat info {};
    if (!extension.empty() && entry->path().extension() != extension) continue;
    if (stat(entry->path().c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * kBlockBytes;
  }
  return bytes;
}

uint64_t BytesWhenSettled(const std::string& directory, int quiet_s) {
  uint64_t bytes = DirectoryBytes(directory);
  for (int quiet = 0; quiet < quiet_s; ++quiet) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const uint64_t now = DirectoryBytes(directory);
    if (std::max(now, bytes) - std::min(now, bytes) > kUnsettledBytes) quiet = -1;
    bytes = now;
  }
  return bytes;
}

std::string Machine() {
  utsname system{};
  uname(&system);
  std::ifstream file("/proc/cpuinfo");
  std::string model = "unknown processor";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    model = line.substr(line.find(':') + 2);
    break;
  }
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::ostringstream out;
  out << model << ", " << std::thread::hardware_concurrency() << " cores, " << static_cast<int>(memory / kMebibyte)
      << " MiB, " << system.sysname << " " << system.release;
  return out.str();
}

double Percentile(std::vector<double>* samples, double part) {
  if (samples->empty()) return 0;
  std::sort(samples->begin(), samples->end());
  return (*samples)[static_cast<size_t>(part * static_cast<double>(samples->size() - 1))];
}

void Die(const std::string& message) {
  std::cerr << "scale: " << message << std::endl;
  std::_Exit(1);
}

}  // namespace oncegate::scale

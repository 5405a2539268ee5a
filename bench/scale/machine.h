#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace oncegate::scale {

// What a process has used since it began, as the kernel counts it; 0 where the kernel does not say.
struct Usage {
  double cpu_s = 0;
  uint64_t disk_read_bytes = 0;     // that were not in the page cache
  uint64_t disk_written_bytes = 0;  // handed to the page cache to be written
};
Usage UsageOf(pid_t pid);
uint64_t ResidentBytes(pid_t pid);

// What the files in a directory take up on disk, by extension or all.
uint64_t DirectoryBytes(const std::string& directory, const std::string& extension = "");
// Waits until the directory has hardly changed in size for so many seconds: until compactions are done.
uint64_t BytesWhenSettled(const std::string& directory, int quiet_s);

// Processor, cores, memory and kernel, on one line.
std::string Machine();

// The value that this part of the samples does not exceed. Sorts them.
double Percentile(std::vector<double>* samples, double part);

// Ends the program with a message: a benchmark that cannot measure has nothing to add.
[[noreturn]] void Die(const std::string& message);

}  // namespace oncegate::scale

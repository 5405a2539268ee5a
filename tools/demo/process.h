#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace demo {

// A program that runs beside the demo. It ends with the demo at the latest, however the demo ends.
class Process {
 public:
  // Starts it. What it writes to standard error is added to `log_file`.
  // Throws std::runtime_error when that fails, as all members here do.
  Process(std::vector<std::string> command, const std::string& log_file);
  // Stops it, if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Waits for a line of its standard output that starts with `prefix`, and returns the rest of that line.
  std::string WaitForLine(const std::string& prefix);

  // SIGTERM, then waits for its end. Returns whether it exited with 0.
  bool Stop();

  // Whether it has ended by itself.
  bool Ended();

 private:
  bool ReadLine(std::string& line);

  std::string name_;
  pid_t pid_ = -1;
  int stdout_fd_ = -1;
  std::string unread_;  // what came after the last line that was returned
};

}  // namespace demo

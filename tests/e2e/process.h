#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace oncegate {

// How a command ended, and what it wrote.
struct CommandResult {
  int exit_code = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

// Since the epoch, by the wall clock that the server goes by as well.
int64_t NowSeconds();

// All that a file holds; empty if it cannot be read.
std::string ReadFile(const std::string& path);

// Runs the real binary to its end.
CommandResult RunOncegate(const std::vector<std::string>& arguments);

// The real binary as a server, `oncegate serve`, on free ports. Ended with SIGKILL if the test leaves it running.
class ServeProcess {
 public:
  // Starts and waits for the lines that say where it listens; false if it ends before (see Wait and err).
  explicit ServeProcess(const std::vector<std::string>& flags);
  ~ServeProcess();
  ServeProcess(const ServeProcess&) = delete;
  ServeProcess& operator=(const ServeProcess&) = delete;

  [[nodiscard]] bool listening() const { return control_port_ != 0; }
  [[nodiscard]] uint16_t gateway_port() const { return gateway_port_; }
  [[nodiscard]] uint16_t control_port() const { return control_port_; }
  [[nodiscard]] std::string control_url() const;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // What it has written to standard error.
  [[nodiscard]] std::string Err() const;

  void Signal(int signal) const;
  // Waits for the end: the exit code, or minus the signal that ended it.
  int Wait();
  int Stop();   // SIGTERM and Wait
  void Kill();  // SIGKILL and Wait

 private:
  bool ReadAddresses();

  pid_t pid_ = -1;
  int out_ = -1;
  std::string err_path_;
  uint16_t gateway_port_ = 0;
  uint16_t control_port_ = 0;
};

// A directory that goes away with the test.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace oncegate

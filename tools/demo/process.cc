#include "tools/demo/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace demo {
namespace {

constexpr int kLineWaitMs = 20'000;
constexpr int kExecFailed = 127;

using SteadyClock = std::chrono::steady_clock;

std::runtime_error SystemError(const std::string& what) {
  return std::runtime_error(what + ": " + strerror(errno));
}

// Runs in the child, and never returns.
[[noreturn]] void Become(const std::vector<char*>& argv, int stdout_fd, int stderr_fd) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // if the demo is killed, nothing is left running
  setpgid(0, 0);                     // Ctrl-C goes to the demo alone, which then stops the others in order
  dup2(stdout_fd, STDOUT_FILENO);
  dup2(stderr_fd, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(kExecFailed);
}

}  // namespace

Process::Process(std::vector<std::string> command, const std::string& log_file)
    : name_(std::filesystem::path(command.front()).filename()) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);

  const int log_fd = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) throw SystemError(log_file);
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) throw SystemError("pipe");
  pid_ = fork();
  if (pid_ == 0) Become(argv, pipe_fds[1], log_fd);
  close(pipe_fds[1]);
  close(log_fd);
  stdout_fd_ = pipe_fds[0];
  if (pid_ < 0) throw SystemError("fork");
}

Process::~Process() {
  Stop();
  close(stdout_fd_);
}

std::string Process::WaitForLine(const std::string& prefix) {
  std::string line;
  while (ReadLine(line)) {
    if (line.starts_with(prefix)) return line.substr(prefix.size());
  }
  throw std::runtime_error(name_ + " did not print \"" + prefix + "…\"");
}

// The next line of its standard output; false when it closed that or stays silent for too long.
bool Process::ReadLine(std::string& line) {
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(kLineWaitMs);
  size_t end = 0;
  while ((end = unread_.find('\n')) == std::string::npos) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    pollfd readable{stdout_fd_, POLLIN, 0};
    if (left <= 0 || poll(&readable, 1, static_cast<int>(left)) <= 0) return false;
    char buffer[4096];
    const ssize_t count = read(stdout_fd_, buffer, sizeof(buffer));
    if (count <= 0) return false;
    unread_.append(buffer, static_cast<size_t>(count));
  }
  line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return true;
}

bool Process::Stop() {
  if (pid_ < 0) return false;
  kill(pid_, SIGTERM);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool Process::Ended() {
  if (pid_ < 0 || waitpid(pid_, nullptr, WNOHANG) != pid_) return pid_ < 0;
  pid_ = -1;
  return true;
}

}  // namespace demo

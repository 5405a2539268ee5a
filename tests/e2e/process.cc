#include "tests/e2e/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "tests/support/raw_client.h"

namespace oncegate {
namespace {

constexpr int kStartMsMax = 30'000;

// Starts the binary with these descriptors as standard output and error; the child dies with the test.
pid_t Spawn(const std::vector<std::string>& arguments, int out, int err) {
  std::vector<char*> argv;
  std::string program = ONCEGATE_BINARY;
  argv.push_back(program.data());
  std::vector<std::string> copies = arguments;
  for (std::string& copy : copies) argv.push_back(copy.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

int64_t NowSeconds() {
  return std::time(nullptr);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

CommandResult RunOncegate(const std::vector<std::string>& arguments) {
  const TempDir dir;
  const std::string out_path = dir / "out";
  const std::string err_path = dir / "err";
  const int out = open(out_path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const int err = open(err_path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const int code = WaitFor(Spawn(arguments, out, err));
  close(out);
  close(err);
  return {code, ReadFile(out_path), ReadFile(err_path)};
}

ServeProcess::ServeProcess(const std::vector<std::string>& flags) {
  std::vector<std::string> arguments{"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) std::abort();
  err_path_ = (std::filesystem::temp_directory_path() / "oncegate-err-XXXXXX").string();
  const int err = mkostemp(err_path_.data(), O_CLOEXEC);
  pid_ = Spawn(arguments, pipe_ends[1], err);
  close(err);
  close(pipe_ends[1]);
  out_ = pipe_ends[0];
  if (!ReadAddresses()) control_port_ = 0;
}

ServeProcess::~ServeProcess() {
  if (pid_ > 0) Kill();
  close(out_);
  std::filesystem::remove(err_path_);
}

bool ServeProcess::ReadAddresses() {
  std::string text;
  while (control_port_ == 0 || gateway_port_ == 0) {
    pollfd ready{out_, POLLIN, 0};
    std::array<char, 512> bytes{};
    if (poll(&ready, 1, kStartMsMax) != 1) return false;
    const ssize_t got = read(out_, bytes.data(), bytes.size());
    if (got <= 0) return false;
    text.append(bytes.data(), static_cast<size_t>(got));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (lines.eof()) break;  // not whole yet
      if (line.starts_with("listening gateway http")) gateway_port_ = RawClient::PortOf(line);
      if (line.starts_with("listening control http://")) control_port_ = RawClient::PortOf(line);
    }
  }
  return true;
}

std::string ServeProcess::control_url() const {
  return "http://127.0.0.1:" + std::to_string(control_port_);
}
std::string ServeProcess::Err() const {
  return ReadFile(err_path_);
}
void ServeProcess::Signal(int signal) const {
  kill(pid_, signal);
}

int ServeProcess::Wait() {
  const int code = WaitFor(pid_);
  pid_ = -1;
  return code;
}

int ServeProcess::Stop() {
  Signal(SIGTERM);
  return Wait();
}

void ServeProcess::Kill() {
  Signal(SIGKILL);
  Wait();
}

TempDir::TempDir() {
  path_ = (std::filesystem::temp_directory_path() / "oncegate-e2e-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace oncegate

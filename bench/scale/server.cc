#include "bench/scale/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "bench/scale/corpus.h"
#include "bench/scale/machine.h"

namespace oncegate::scale {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Reads one message, head and body by Content-Length, into `bytes`; the size of its head, or 0 if the other side ended.
size_t ReceiveMessage(int fd, std::string* bytes) {
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  bytes->clear();
  size_t head = 0;
  size_t size = 0;
  while (head == 0 || bytes->size() < size) {
    std::array<char, 16384> piece;
    const ssize_t got = recv(fd, piece.data(), piece.size(), 0);
    if (got <= 0) return 0;
    bytes->append(piece.data(), static_cast<size_t>(got));
    const size_t end = bytes->find("\r\n\r\n");
    if (head != 0 || end == std::string::npos) continue;
    head = end + 4;
    const size_t length = bytes->find(kLength);
    size = head + (length < end ? std::strtoull(bytes->c_str() + length + kLength.size(), nullptr, 10) : 0);
  }
  return head;
}

// Runs in the child, and never returns.
[[noreturn]] void Become(const std::vector<std::string>& arguments, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  std::vector<std::string> words = arguments;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

uint16_t PortOf(std::string_view line) {
  return static_cast<uint16_t>(std::strtoul(line.data() + line.rfind(':') + 1, nullptr, 10));
}

}  // namespace

Server::Server(const std::string& directory, const std::string& upstream_url) {
  const std::vector<std::string> arguments = {ONCEGATE_BINARY,    "serve",       "--listen",    "127.0.0.1:0",
                                              "--control-listen", "127.0.0.1:0", "--data-dir",  directory,
                                              "--upstream",       upstream_url,  "--log-level", "warn"};
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) Die("no pipe");
  pid_ = fork();
  if (pid_ == 0) Become(arguments, ends[1]);
  close(ends[1]);
  if (pid_ < 0) Die("cannot start the server");
  ReadAddresses(ends[0]);
  close(ends[0]);
}

void Server::ReadAddresses(int fd) {
  std::string text;
  while (gateway_port_ == 0 || control_port_ == 0) {
    std::array<char, 512> piece;
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got <= 0) Die("the server did not start");
    text.append(piece.data(), static_cast<size_t>(got));
    for (size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      const std::string line = text.substr(0, end);
      if (line.starts_with("listening gateway")) gateway_port_ = PortOf(line);
      if (line.starts_with("listening control")) control_port_ = PortOf(line);
    }
  }
}

void Server::End(int signal) {
  if (pid_ < 0) return;
  kill(pid_, signal);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void Server::Kill() {
  End(SIGKILL);
}
void Server::Stop() {
  End(SIGTERM);
}

Connection::Connection(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in address = Loopback(port);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("cannot connect");
  SendAtOnce(fd_);
}

Connection::~Connection() {
  close(fd_);
}

Connection::Answer Connection::Ask(std::string_view request) {
  const size_t head = SendAll(fd_, request) ? ReceiveMessage(fd_, &bytes_) : 0;
  if (head == 0) Die("the server closed a connection");
  const std::string_view bytes = bytes_;
  return {bytes.substr(0, head), bytes.substr(head)};
}

Application::Application() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 || listen(listener_, 1024) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    Die("cannot listen");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

Application::~Application() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  close(listener_);
}

std::string Application::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

// Each connection ends when the gateway closes it, at the latest with the gateway's process.
void Application::Accept() {
  std::vector<std::thread> connections;
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) break;
    SendAtOnce(fd);
    connections.emplace_back([fd] { Serve(fd); });
  }
  for (std::thread& connection : connections) connection.join();
}

void Application::Serve(int fd) {
  const Delivery some = DeliveryOf(1);
  const std::string answer = some.response_head + "\r\n" + some.response_body;
  std::string request;
  while (ReceiveMessage(fd, &request) != 0 && SendAll(fd, answer)) {
  }
  close(fd);
}

}  // namespace oncegate::scale

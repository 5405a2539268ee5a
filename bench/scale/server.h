#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace oncegate::scale {

// `oncegate serve` in a process of its own, on free ports. Killed at the end at the latest.
class Server {
 public:
  // Returns once it listens.
  Server(const std::string& directory, const std::string& upstream_url);
  ~Server() { Kill(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] uint16_t gateway_port() const { return gateway_port_; }
  [[nodiscard]] uint16_t control_port() const { return control_port_; }
  void Kill();  // SIGKILL
  void Stop();  // SIGTERM

 private:
  void ReadAddresses(int fd);
  void End(int signal);

  pid_t pid_ = -1;
  uint16_t gateway_port_ = 0;
  uint16_t control_port_ = 0;
};

// One kept-alive connection that asks and waits. Ends the program if the other side does not answer.
class Connection {
 public:
  explicit Connection(uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  struct Answer {
    std::string_view head;  // both until the next Ask
    std::string_view body;
  };
  Answer Ask(std::string_view request);

 private:
  int fd_;
  std::string bytes_;
};

// The application behind the gateway: answers every request at once with 600 bytes of JSON.
class Application {
 public:
  Application();
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;
  [[nodiscard]] std::string url() const;

 private:
  void Accept();
  static void Serve(int fd);

  int listener_;
  uint16_t port_ = 0;
  std::thread acceptor_;
};

}  // namespace oncegate::scale

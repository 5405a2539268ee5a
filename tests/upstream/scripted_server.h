#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace oncegate {

// Something that happens once, and can be waited for, for a bounded time. Copies are the same flag, so that a script
// may outlive the test's variables.
class Flag {
 public:
  void Set() const;
  void Await() const;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool set = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// The bytes of one connection as the server sees them, plain or TLS.
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  // Bytes read; 0 at the end, on errors and after kPatience.
  virtual size_t Read(char* out, size_t size) = 0;
  virtual bool Write(std::string_view bytes) = 0;
  // Says that no more comes, in the way of the protocol.
  virtual void Finish() = 0;
};

// One accepted connection, in the hands of a script.
class Peer {
 public:
  Peer(int fd, std::unique_ptr<ServerStream> stream, std::function<void(std::string)> on_request);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The next request, head and counted body, which the server also writes down. Empty if none comes.
  std::string ReadRequest();
  // The next request's head only; what was read of the body by then is left out.
  std::string ReadHead();
  bool Send(std::string_view bytes) { return stream_->Write(bytes); }
  ServerStream& stream() { return *stream_; }
  // Orderly, by RST, or without a word from the protocol above TCP.
  void Close();
  void Reset();
  void Drop();
  // Until the client has closed.
  void AwaitClose();

 private:
  int fd_;
  std::unique_ptr<ServerStream> stream_;
  std::function<void(std::string)> on_request_;
  std::string buffer_;
};

// A short answer, and the script of a server that has no other.
inline constexpr const char* kShortAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
void AnswerAll(Peer& peer);

// A TCP server on a free port of 127.0.0.1. The n-th connection runs the n-th script, later ones the last one, each on
// a thread of its own. Every wait in it is bounded, so that a test fails rather than hangs.
class ScriptedServer {
 public:
  static constexpr int kPatienceMs = 10'000;
  using Script = std::function<void(Peer&)>;
  using Wrap = std::function<std::unique_ptr<ServerStream>(int fd)>;

  explicit ScriptedServer(std::vector<Script> scripts, Wrap wrap = nullptr);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] std::vector<std::string> requests() const;
  [[nodiscard]] size_t connections() const;
  // False if it takes longer than kPatience.
  bool AwaitRequests(size_t count);
  bool AwaitFinishedConnections(size_t count);

 private:
  void AcceptAll();
  void Serve(int fd, size_t number);

  const std::vector<Script> scripts_;
  const Wrap wrap_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> requests_;
  std::vector<std::thread> threads_;
  size_t connections_ = 0;
  size_t finished_ = 0;
  std::thread acceptor_;
};

}  // namespace oncegate

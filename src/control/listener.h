#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "control/seats.h"
#include "control/stream.h"
#include "http/error.h"
#include "http/head.h"
#include "tls/server_context.h"

namespace oncegate::control {

// A request whose head was vetted and whose body is whole.
struct WholeRequest {
  http::RequestHead head;
  std::string body;
  std::string client_ip;
  std::optional<BudgetShare> memory;  // what its body takes of kLargeBodiesBytesMax; nothing: it is not large
  // Whether nobody will read the answer: the client is gone, or has closed its sending side. While it is answered only.
  std::function<bool()> client_gone;
};

struct Answered {
  std::string bytes;
  std::unique_ptr<Stream> stream;  // not null: goes on with this until one side closes

  // Not empty: the bytes come later, and no worker waits for them. To be called once; `done` gets them, once, on this
  // thread or another, which it does not keep. Nothing instead of bytes: they have to be waited for after all.
  using Done = std::function<void(std::optional<std::string> bytes)>;
  std::function<void(Done done)> later;
};

// Turns requests into the bytes of answers. `worker` is below ListenerOptions::workers, and one worker has one call at
// a time.
class Responder {
 public:
  virtual ~Responder() = default;
  // `request` outlives the call, and with `may_come_later` what the answer does later.
  virtual Answered Answer(const WholeRequest& request, bool keep_alive, size_t worker, bool may_come_later) = 0;
  // The answer to what is not a request that can be served; the connection is closed after it.
  virtual std::string Refuse(const http::Error& error) = 0;
  // How much body this request may have. What is above kBodyBytesMax goes by whom the head shows to ask.
  [[nodiscard]] virtual size_t BodyBytesMax(const http::RequestHead& head) const = 0;
};

inline constexpr size_t kBodyBytesMax = 1 << 20;  // of a request's body that is not large
// All large bodies together, while they are read and answered; beyond it 503.
inline constexpr int64_t kLargeBodiesBytesMax = 64 << 20;

// As many as the processors keep busy; more only take each other's place.
size_t DefaultSeats();

struct ListenerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;                    // 0: any free one
  size_t workers = 8;                   // those that wait for something included
  size_t seats = DefaultSeats();        // of them, those that wait for bytes and serve what needs no wait (seats.h)
  size_t connections_max = 1024;        // beyond it the one that has been idle for longest gives way
  int64_t idle_timeout_ms = 60'000;     // between two requests; an idle connection holds no thread
  int64_t request_timeout_ms = 10'000;  // from a request's first byte to its last, and for a handshake
  int64_t send_timeout_ms = 10'000;     // for a whole answer, or for what a stream gave last
  std::shared_ptr<const tls::ServerContext> tls;  // null: plain HTTP
};

// Connections of the control listener: workers wait for bytes on all of them, a few at a time (seats.h), and whom one
// comes to reads, answers and writes, or leaves the connection to whoever will have the answer (Answered::later). One
// more thread accepts, closes what has waited too long, and has the streams, which hold no worker: it sends what they
// give, without waiting for any client. Every byte is vetted by http/ before anybody else sees it: httplib's own
// connections would give a thread to each idle client, a signal-unsafe select() to each read, and have the
// request-smuggling bugs named in docs/decisions.md.
class Listener {
 public:
  // InvalidArgument for a host that does not resolve, Unavailable for an address that cannot be bound.
  static Result<std::unique_ptr<Listener>> Bind(const ListenerOptions& options, const Clock& clock, Logger& logger);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // REQUIRES: called once; `responder` outlives the listener.
  void Start(Responder& responder);
  // Finishes the requests that are whole, closes all connections, ends the threads. What a client does not take at once
  // of an answer that came later is lost then.
  void Stop();
  // To be called by a responder before its answer waits for anything but the calls of others: another worker then takes
  // connections in this one's place. Anywhere else it does nothing.
  static void AboutToWait();
  // Closes the streams that were begun before, soon.
  void EndStreams() { stream_generation_.fetch_add(1); }

  // New connections get this certificate. REQUIRES: not null, and the listener was bound with one.
  void SetTls(std::shared_ptr<const tls::ServerContext> tls) { tls_.Set(std::move(tls)); }

  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  struct Connection;
  using ConnectionPtr = std::unique_ptr<Connection>;
  enum class Next : uint8_t { kPark, kStream, kClose };

  Listener(const ListenerOptions& options, const Clock& clock, Logger& logger, int listen_fd);

  void Watch();
  bool HasConnections();
  void AcceptAll();
  void WatchListener(uint32_t events);
  void Admit(int fd, std::string client_ip);
  void CloseExpired();
  bool EvictIdle();
  void Park(ConnectionPtr connection);
  ConnectionPtr TakeParked(int fd);
  // False: the listener stops.
  bool BeginStream(ConnectionPtr& connection);
  void AdoptStreams();
  void ServeStreams();
  // False: the stream is over.
  bool ServeStream(Connection& connection);
  bool ReadStream(int fd);
  void CloseStream(int fd);

  void Work(size_t worker);
  ConnectionPtr AwaitConnection();
  // Null afterwards: its answer comes later, and the connection is on its way to AnswerLater.
  Next Serve(ConnectionPtr& connection, size_t worker);
  void AnswerLater(ConnectionPtr connection, bool keep_alive, std::optional<std::string> bytes);
  Next PayOwed(Connection& connection);
  // How it goes on after a whole answer.
  Next AfterAnswer(Connection& connection, bool keep_alive);
  void GoOn(ConnectionPtr connection, Next next);
  // Whether a whole request is in `connection`; otherwise `*next` says how it goes on.
  bool TakeRequest(Connection& connection, Next* next);
  bool TakeHead(Connection& connection, Next* next);
  bool TakeMemory(Connection& connection);
  // Whether the client is still there.
  bool ReadAvailable(Connection& connection);
  bool Send(Connection& connection, std::string_view bytes);
  Next Refuse(Connection& connection, const http::Error& error);
  Next Linger(Connection& connection);

  const ListenerOptions options_;
  tls::CurrentContext tls_;
  const Clock& clock_;
  Logger& logger_;
  uint16_t port_ = 0;
  int listen_fd_;
  int epoll_fd_ = -1;  // of the watching thread: new connections and streams
  int work_fd_ = -1;   // of the workers: parked connections
  int stop_fd_ = -1;
  int wake_fd_ = -1;                                // of the watching thread: there are new streams
  int64_t accept_again_ms_ = 0;                     // of the watching thread; 0: accepting now
  int64_t streams_served_ms_ = 0;                   // likewise
  std::unordered_map<int, ConnectionPtr> streams_;  // likewise; by file descriptor
  std::atomic<uint64_t> stream_generation_{0};
  Responder* responder_ = nullptr;
  ByteBudget large_bodies_{kLargeBodiesBytesMax};

  Seats seats_;

  std::mutex mutex_;
  std::unordered_map<int, ConnectionPtr> parked_;  // guarded by mutex_; by file descriptor
  std::vector<ConnectionPtr> new_streams_;         // guarded by mutex_; on their way to streams_
  size_t connections_ = 0;                         // guarded by mutex_
  std::atomic<bool> stopping_{false};

  std::thread watcher_;
  std::vector<std::thread> workers_;
};

}  // namespace oncegate::control

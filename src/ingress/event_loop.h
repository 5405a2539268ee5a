#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingress/connection.h"
#include "ingress/ingress.h"
#include "ingress/listener.h"
#include "ingress/mailbox.h"
#include "tls/server_context.h"

namespace oncegate {

// What the loops of an ingress share. All of it outlives them.
struct LoopParts {
  const IngressOptions& options;
  const IngressParts& parts;
  const tls::CurrentContext& tls;  // what new connections get
  RateLimiter* limiter;            // may be null
};

// One epoll loop: the connections that it owns, their deadlines, and, for one of the loops, the listeners. Run() is
// the body of a thread; everything else happens on it, told through the mailbox. Give, connections and mailbox are for
// any thread.
class EventLoop {
 public:
  explicit EventLoop(const LoopParts& shared);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Unavailable if the kernel gives no epoll instance.
  Status Init();
  // `accept` takes over each accepted connection and decides which loop gets it. REQUIRES: before Run.
  Status AddListeners(std::vector<Listener> listeners, std::function<void(Accepted)> accept);

  void Run();

  // Takes a connection over.
  void Give(Accepted accepted);
  // Open, or given and not yet looked at.
  [[nodiscard]] size_t connections() const { return connection_count_.load(); }

  [[nodiscard]] const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }

 private:
  static constexpr uint64_t kMailboxId = 0;
  static constexpr uint64_t kListenerIds = uint64_t{1} << 62;
  static constexpr int kEventsAtOnce = 256;
  static constexpr int kAcceptsAtOnce = 64;
  static constexpr int64_t kAcceptPauseMs = 100;
  static constexpr int64_t kHandshakeMsMax = 10'000;
  // No budget knows what OpenSSL keeps for a handshake; beyond this many the oldest gives way.
  static constexpr size_t kHandshakesMax = 512;
  // A step may cost a private-key operation, which is worth dozens of replays. A turn takes one, and one more for every
  // so many requests of the turn, so that new clients get a share of the time however busy the others are.
  static constexpr size_t kRequestsPerHandshake = 256;
  static constexpr auto kKinds = static_cast<size_t>(Awaits::kCount);

  Status Watch(int fd, uint64_t id, uint32_t events);
  void HandleMessages();
  void Handle(LoopMessage message);
  void AcceptWaiting(size_t listener);
  void ShedOne(int listener);
  void PauseAccepting(const std::string& reason);
  void ResumeAccepting();
  void Adopt(Accepted accepted);
  void After(Connection& connection, bool alive);
  void GiveTurns();
  void GiveTurn(uint64_t id);
  void StopTaking();
  void ExpireDeadlines();
  [[nodiscard]] int64_t DurationOf(Awaits awaits) const;
  [[nodiscard]] int WaitMs() const;
  [[nodiscard]] bool Finished() const;

  const IngressOptions& options_;
  const IngressParts& parts_;
  const tls::CurrentContext& tls_;
  std::atomic<size_t> connection_count_{0};
  const std::shared_ptr<Mailbox> mailbox_;
  std::vector<char> scratch_;
  LoopServices services_;
  OwnedFd epoll_;
  OwnedFd spare_;  // given up for a moment when the process has no file descriptors left

  std::vector<Listener> listeners_;
  std::function<void(Accepted)> accept_;
  int64_t accept_paused_until_ms_ = 0;  // 0: not paused

  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  // All connections that await the same thing have the same time for it, so that each list is ordered by itself.
  std::array<std::list<Connection*>, kKinds> deadlines_;
  std::vector<uint64_t> waiting_turn_;  // connections that could go on, by id
  int64_t stop_deadline_ms_ = 0;        // 0: not stopping
};

}  // namespace oncegate

#pragma once

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "upstream/forwarding.h"
#include "upstream/pool.h"
#include "upstream/socket.h"
#include "upstream/upstream.h"

namespace oncegate::upstream {

// Sends requests over connections that are idle, and waits for the answers of all applications, on one thread, as long
// as that needs no other wait. No answer is awaited longer than its request allows. Thread-safe.
class ExchangeLoop {
 public:
  explicit ExchangeLoop(const Clock& clock);
  // REQUIRES: nothing is under way.
  ~ExchangeLoop();
  ExchangeLoop(const ExchangeLoop&) = delete;
  ExchangeLoop& operator=(const ExchangeLoop&) = delete;

  // A request that is to be sent over one of the pool's connections. What it refers to stays until the observer is
  // told.
  struct Order {
    const OutboundRequest& request;
    ResponseReceiver& receiver;
    Waiter waiter;
    ConnectionPool& pool;
  };
  // As Upstream::Start. If no connection is idle the observer is told kNotSent.
  bool Start(const Order& order, std::unique_ptr<ForwardObserver>& observer);

  // Ends everything whose abort signal was raised. When it returns no observer of those is being told anything, nor
  // will be. Not for observers to call.
  void EndAborted();

 private:
  static constexpr uint64_t kWakeId = 0;
  static constexpr int kEventsAtOnce = 256;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  struct Ordered {
    Order order;
    std::unique_ptr<ForwardObserver> observer;
  };
  struct Entry {
    std::unique_ptr<Forwarding> forwarding;
    std::unique_ptr<ForwardObserver> observer;
    int64_t progress_ms = 0;  // steady clock: when something last happened

    [[nodiscard]] int64_t DeadlineMs() const;
  };

  // -- Of the thread.
  void Run();
  [[nodiscard]] int WaitMs() const;
  void TakeOrders();
  void Begin(Ordered ordered);
  void OnReady(uint64_t id);
  [[nodiscard]] bool Watch(uint64_t id, const Entry& entry);
  void GiveUpExpired();
  void GiveUpAborted();
  void GiveUp(const std::vector<uint64_t>& ids, WaitEnd why);
  [[nodiscard]] Entry TakeOut(uint64_t id);
  static void Tell(std::unique_ptr<ForwardObserver> observer, ForwardResult result);
  static void End(Entry entry);
  static void HandOver(Entry entry);

  void Wake();

  const Clock& clock_;
  const Descriptor epoll_;
  const Descriptor wake_;

  // Used by the thread alone.
  const std::unique_ptr<char[]> buffer_;
  std::unordered_map<uint64_t, Entry> entries_;
  uint64_t last_id_ = kWakeId;
  int64_t look_again_ms_ = kNever;  // steady clock: no deadline is earlier

  std::mutex mutex_;
  std::condition_variable aborts_done_;
  // Guarded by mutex_.
  std::vector<Ordered> orders_;
  uint64_t aborts_asked_ = 0;
  uint64_t aborts_seen_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace oncegate::upstream

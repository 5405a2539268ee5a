#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "gateway/outcome.h"

namespace oncegate {

struct FinishedRequest;

// A finished request as it is told to those who watch. What is not known is empty or 0.
struct RequestEvent {
  int64_t at_ms = 0;  // calendar clock
  std::string scope;
  std::string key;
  std::string type;
  Outcome outcome = Outcome::kExecuted;
  int status = 0;
  std::optional<int64_t> duration_us;
  uint32_t attempt = 0;
  std::string source_ip;
};

// Tells those who watch which requests have finished, as far as they can take it: whoever finishes a request never
// waits for whoever watches, and what is too much for a second is counted instead of told. Replays and passed requests,
// of which there may be a hundred thousand a second, give way to all others. Without a subscriber it does nothing.
// Thread-safe.
class EventFeed {
 private:
  struct Kept {
    uint64_t number;  // over both rings, in the order of arrival
    RequestEvent event;
  };
  // The newest events; older ones give way.
  struct Ring {
    size_t kept_max;
    std::deque<Kept> kept;
    uint64_t first = 0;  // how many came before kept.front()

    [[nodiscard]] uint64_t end() const { return first + kept.size(); }
  };

 public:
  static constexpr size_t kSubscribersMax = 8;
  static constexpr size_t kEventsPerSecondMax = 100;  // for each subscriber
  static constexpr size_t kKeptMax = 256;             // that a subscriber has not fetched yet
  static constexpr size_t kCommonKeptMax = 32;        // the same of replays and passed requests
  // What is let in within a tenth of a second, so that a flood costs a look and no lock.
  static constexpr int64_t kSlotMs = 100;
  static constexpr size_t kPerSlotMax = 100;
  static constexpr size_t kCommonPerSlotMax = 10;

  struct Batch {
    std::vector<RequestEvent> events;  // oldest first
    uint64_t dropped = 0;              // since this subscriber came
  };

  // One who watches. Used by one thread at a time; the feed outlives it.
  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // What is to be told now: never more than kEventsPerSecondMax within a second.
    Batch Take();

   private:
    friend class EventFeed;
    explicit Subscription(EventFeed& feed);
    void TakeFrom(const Ring& ring, uint64_t* next, size_t count, std::vector<const Kept*>* taken);

    EventFeed& feed_;
    uint64_t next_ = 0;
    uint64_t next_common_ = 0;
    uint64_t turned_away_before_ = 0;
    uint64_t missed_ = 0;             // gave way before they were fetched
    std::deque<int64_t> told_at_ms_;  // of the last second, steady clock
  };

  explicit EventFeed(const Clock& clock) : clock_(clock) {}
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  // Null: there are enough.
  std::unique_ptr<Subscription> Subscribe();
  [[nodiscard]] size_t subscribers() const { return subscribers_.load(std::memory_order_relaxed); }

  void Publish(const FinishedRequest& request) {
    if (subscribers() > 0) PublishWatched(request);
  }

 private:
  // One class of events: how many were let in within the current slot.
  struct alignas(64) Door {
    size_t per_slot_max;
    std::atomic<int64_t> slot{-1};  // changed under mutex_
    std::atomic<size_t> let_in{0};  // likewise
  };

  void PublishWatched(const FinishedRequest& request);

  const Clock& clock_;
  std::atomic<size_t> subscribers_{0};  // changed under mutex_
  std::atomic<uint64_t> turned_away_{0};
  Door door_{kPerSlotMax};
  Door common_door_{kCommonPerSlotMax};

  std::mutex mutex_;
  uint64_t next_number_ = 0;                // guarded by mutex_
  Ring events_{kKeptMax, {}};               // guarded by mutex_
  Ring common_events_{kCommonKeptMax, {}};  // guarded by mutex_
};

}  // namespace oncegate

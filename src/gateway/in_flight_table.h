#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "core/decide.h"
#include "core/key.h"

namespace oncegate {

// How the holder of a key's permit ended, as those who waited on it need to know.
enum class Ending : uint8_t {
  kSettled,  // there is an outcome in the store: look again
  kForgot,   // nothing happened that is remembered: decide again from the start
  kUnknown,  // the work may or may not have been done: nobody who waited may do it again
};

enum class WakeReason : uint8_t { kSettled, kForgot, kUnknown, kTimedOut, kShutDown };

// Somebody who waits for the end of another's execution. Holds no thread.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Whether nobody would read the answer; such a waiter is never elected to execute.
  [[nodiscard]] virtual bool Gone() const = 0;
  // Called once, on the thread that ended the wait, with no lock held.
  virtual void Wake(std::unique_ptr<Waiter> self, WakeReason reason) = 0;
};

// Elects one executor a key within this process, and lets the others wait on it. A permit is the right to look at a
// key's record with nobody else acting on it, to claim it and to execute. Only its holder can give it up; a wait that
// times out never makes a second executor. Thread-safe.
class InFlightTable {
 public:
  // Move-only. Whoever holds it must say how it ended; one that is dropped without a word ends as kUnknown, which is
  // the only safe guess.
  class Permit {
   public:
    Permit(Permit&& other) noexcept : table_(std::exchange(other.table_, nullptr)), key_(std::move(other.key_)) {}
    Permit& operator=(Permit&& other) = delete;
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;
    ~Permit() {
      if (table_ != nullptr) End(Ending::kUnknown);
    }
    // Gives the key up and wakes those who wait, on this thread. Those who wait for a lease are only woken if there is
    // news of it. REQUIRES: not called before.
    void End(Ending ending) { std::exchange(table_, nullptr)->EndPermit(key_, ending); }

    // What came of WaitForLease.
    enum class LeaseWait : uint8_t {
      kParked,     // the permit was given up, and the waiter was taken
      kLookAgain,  // there was news while the permit was held, which is still so
      kClosed,     // nobody is parked any more; the permit is still held
    };
    // The key is held by a lease in the store, until `lease_end_ms` (steady clock) if it is not renewed: gives the
    // permit up, and parks `waiter` until there is news of the lease (Notify), until it ends (kTimedOut), or until
    // `deadline_ms` (kTimedOut). The others are woken, to see the lease for themselves.
    LeaseWait WaitForLease(int64_t lease_end_ms, int64_t deadline_ms, std::unique_ptr<Waiter>& waiter);

   private:
    friend class InFlightTable;
    Permit(InFlightTable* table, std::string key) : table_(table), key_(std::move(key)) {}
    InFlightTable* table_;
    std::string key_;
  };

  struct Parked {};
  // The permit; or the caller waits (its waiter was taken); or why not to wait: KeyReused, or InFlight when the time to
  // wait is over.
  using Admission = std::variant<Permit, Parked, Decision>;

  // Who ends waits in time: a thread of the table, or whoever calls ExpireWaits, as tests with a manual clock do.
  enum class Timer { kThread, kCaller };

  explicit InFlightTable(const Clock& clock, Timer timer = Timer::kThread);
  // REQUIRES: no permit is held.
  ~InFlightTable();
  InFlightTable(const InFlightTable&) = delete;
  InFlightTable& operator=(const InFlightTable&) = delete;

  // Gives the permit for `key` if nobody has it. Otherwise decides against the holder's fingerprint, and parks `waiter`
  // until `deadline_ms` (steady clock) if there is time left. `waiter` is moved from only when Parked is returned.
  Admission Admit(const ScopedKey& key, const RequestFacts& facts, int64_t deadline_ms,
                  std::unique_ptr<Waiter>& waiter);

  // The lease that holds `key` in the store has ended before its time: wakes those who wait for it. To be called after
  // the store was changed.
  void Notify(const ScopedKey& key, Ending ending);

  // Whether somebody holds the permit for `key`.
  [[nodiscard]] bool Holds(const ScopedKey& key) const;

  // Wakes those whose deadline has passed.
  void ExpireWaits();

  // Wakes all who wait, with kShutDown, and parks nobody any more.
  void ShutDown();

  [[nodiscard]] size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  using TimerId = std::pair<int64_t, uint64_t>;  // deadline and a serial number
  struct Waiting {
    TimerId timer;
    bool for_lease = false;  // rather than for whoever holds the permit
    std::unique_ptr<Waiter> waiter;
  };
  // Somebody holds the permit, or waits.
  struct Entry {
    bool held = true;
    bool news = false;  // Notify was called while it was held
    std::optional<Fingerprint> fingerprint;
    std::list<Waiting> waiting;  // in order of arrival
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, Entry> entries;  // guarded by mutex
  };
  static constexpr size_t kShards = 64;

  Shard& ShardOf(const std::string& key) const;
  void EndPermit(const std::string& key, Ending ending);
  Permit::LeaseWait WaitForLease(const std::string& key, int64_t until_ms, std::unique_ptr<Waiter>& waiter);
  // Takes the waiters out that a Notify, or else the end of a permit, concerns.
  static std::list<Waiting> Take(Entry& entry, bool those_for_lease);
  void Wake(std::list<Waiting> waiting, Ending ending);
  void WakeAll(std::list<Waiting> waiting, WakeReason reason);
  TimerId AddTimer(int64_t deadline_ms, const std::string& key);
  void RunTimers();

  const Clock& clock_;
  mutable std::array<Shard, kShards> shards_;
  std::atomic<size_t> waiting_{0};

  // Taken after a shard's mutex, never before.
  std::mutex timer_mutex_;
  std::condition_variable timer_changed_;
  std::map<TimerId, std::string> timers_;  // guarded by timer_mutex_; deadline to key
  uint64_t next_timer_ = 0;                // guarded by timer_mutex_
  bool shut_down_ = false;                 // guarded by timer_mutex_
  std::thread timer_thread_;               // none with Timer::kCaller
};

}  // namespace oncegate

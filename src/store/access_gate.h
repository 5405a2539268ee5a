#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace oncegate::store {

// Lets every call in, except, seldom, for a moment in which nobody is inside and the database may be exchanged. Costs a
// call two additions to a counter that it shares with few other threads. Thread-safe.
class AccessGate {
 public:
  // False if the gate stayed closed for that long. Whoever entered leaves, in the same thread, and does not enter
  // twice.
  bool Enter(std::chrono::milliseconds wait) {
    std::optional<std::chrono::steady_clock::time_point> deadline;
    for (;;) {
      ++Mine();
      if (!closed_.load()) return true;
      Leave();
      if (!deadline) deadline = std::chrono::steady_clock::now() + wait;
      std::unique_lock lock(mu_);
      if (!changed_.wait_until(lock, *deadline, [this] { return !closed_.load(); })) return false;
    }
  }
  void Leave() {
    --Mine();
    if (!closed_.load()) return;
    const std::lock_guard lock(mu_);
    changed_.notify_all();
  }

  // Keeps everybody out and waits until all have left; false, and the gate is open, if that takes longer. One at a
  // time.
  bool Close(std::chrono::milliseconds wait) {
    {
      std::unique_lock lock(mu_);
      closed_.store(true);
      if (changed_.wait_for(lock, wait, [this] { return Inside() == 0; })) return true;
    }
    Open();
    return false;
  }
  void Open() {
    const std::lock_guard lock(mu_);
    closed_.store(false);
    changed_.notify_all();
  }

 private:
  // A cache line each.
  struct alignas(64) Slot {
    std::atomic<int64_t> inside{0};
  };

  std::atomic<int64_t>& Mine() {
    thread_local const size_t number = std::hash<std::thread::id>()(std::this_thread::get_id());
    return slots_[number % slots_.size()].inside;
  }
  [[nodiscard]] int64_t Inside() const {
    int64_t inside = 0;
    for (const Slot& slot : slots_) inside += slot.inside.load();
    return inside;
  }

  std::array<Slot, 32> slots_;
  std::atomic<bool> closed_{false};
  std::mutex mu_;
  std::condition_variable changed_;
};

}  // namespace oncegate::store

#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace oncegate::store {

// Lets many writers through at once, or stops them all for a moment in which index and counters agree. A writer is
// inside from before its write until it is counted. Unlike a shared mutex it lets whoever closes it in, however many
// writers keep coming. Thread-safe.
class WriteGate {
 public:
  // A writer's stay inside.
  class Pass {
   public:
    explicit Pass(WriteGate& gate) : gate_(gate) {
      std::unique_lock lock(gate_.mu_);
      gate_.changed_.wait(lock, [this] { return !gate_.closed_; });
      ++gate_.inside_;
    }
    ~Pass() {
      const std::lock_guard lock(gate_.mu_);
      if (--gate_.inside_ == 0 && gate_.closed_) gate_.changed_.notify_all();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    WriteGate& gate_;
  };

  // A time in which nobody is inside. One at a time.
  class Closure {
   public:
    explicit Closure(WriteGate& gate) : gate_(gate) {
      std::unique_lock lock(gate_.mu_);
      gate_.changed_.wait(lock, [this] { return !gate_.closed_; });
      gate_.closed_ = true;
      gate_.changed_.wait(lock, [this] { return gate_.inside_ == 0; });
    }
    ~Closure() {
      const std::lock_guard lock(gate_.mu_);
      gate_.closed_ = false;
      gate_.changed_.notify_all();
    }
    Closure(const Closure&) = delete;
    Closure& operator=(const Closure&) = delete;

   private:
    WriteGate& gate_;
  };

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  int64_t inside_ = 0;
  bool closed_ = false;
};

}  // namespace oncegate::store

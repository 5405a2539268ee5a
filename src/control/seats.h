#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace oncegate::control {

// For how many workers there is room where bytes are waited for and served. More would not serve more, only take each
// other's place on the processors: with 4 instead of 20 on two cores a claim and its completion cost a tenth less. Who
// is about to wait for something else leaves its seat to another. Thread-safe.
class Seats {
 public:
  explicit Seats(size_t count) : free_(count) {}

  // One worker's. Not thread-safe.
  class Seat {
   public:
    explicit Seat(Seats& seats) : seats_(seats) {}
    ~Seat() { Leave(); }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    // Waits until one is free, unless it has one.
    void Take() {
      if (taken_) return;
      std::unique_lock lock(seats_.mutex_);
      seats_.freed_.wait(lock, [this] { return seats_.free_ > 0; });
      --seats_.free_;
      taken_ = true;
    }
    void Leave() {
      if (!taken_) return;
      taken_ = false;
      const std::lock_guard lock(seats_.mutex_);
      ++seats_.free_;
      seats_.freed_.notify_one();
    }

   private:
    Seats& seats_;
    bool taken_ = false;
  };

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  size_t free_;  // guarded by mutex_
};

}  // namespace oncegate::control

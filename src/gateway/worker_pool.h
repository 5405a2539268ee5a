#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/thread_name.h"

namespace oncegate {

// A fixed number of forwarding slots, each with a thread, before them a bounded queue, and one more thread that writes
// things down for all of them: what waits for it is written together.
//
// An item begins, in order, when a slot is free. Some are written down first, holding their slot. Those go on without a
// thread if they can, and until they are given back. Others run on the slot's thread. Either way an item may be left to
// be written down once more, without a slot. Thread-safe.
template <typename T>
class WorkerPool {
 public:
  using Item = std::unique_ptr<T>;
  static constexpr size_t kWrittenTogetherMax = 64;
  // Nothing begins while so many for each slot ran and are unwritten: they hold what they ran for in memory.
  static constexpr size_t kRanASlotMax = 2;

  // What is done with items. None of it may throw.
  struct Steps {
    std::function<bool(const T&)> is_written_first;  // must be quick
    // On the writing thread; may wait for the disk, but for nobody else. Takes out those with which nothing is left to
    // do; the others run. REQUIRES, for items that ran: takes them out.
    std::function<void(std::vector<Item>*)> write;
    // On the writing thread, after `write`; must not wait. True: the item was moved from and goes on without a thread,
    // and GiveBack is called for it, once, maybe before this returns. False: it is as it was, and runs.
    std::function<bool(Item&)> start;
    // On a slot's thread; may wait. What it gives back is written.
    std::function<Item(Item)> run;
  };

  WorkerPool(size_t slots, size_t queue_items_max, Steps steps)
      : slots_(slots), queue_items_max_(queue_items_max), steps_(std::move(steps)) {
    threads_.reserve(slots + 1);
    threads_.emplace_back([this] { Write(); });
    for (size_t i = 0; i < slots; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~WorkerPool() {
    Close();
    Join();
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False, and `item` untouched, if the queue is full or the pool is closed.
  bool Submit(Item& item) {
    Wakes wakes;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || waiting_.size() >= queue_items_max_) return false;
      waiting_.push_back(std::move(item));
      Begin(&wakes);
    }
    Wake(wakes);
    return true;
  }

  // For an item that `start` took: it is to be written, or else it is to run. From any thread.
  void GiveBack(Item item, bool to_be_written) {
    Wakes wakes;
    {
      const std::lock_guard lock(mutex_);
      if (to_be_written)
        LeaveSlot(std::move(item), &wakes);
      else
        AddReady(std::move(item), &wakes);
    }
    Wake(wakes);
  }

  // Takes no further items, and returns those with which nothing was done yet.
  std::deque<Item> Close() {
    std::deque<Item> left;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      left.swap(waiting_);
      std::deque<Unwritten> ran;
      for (Unwritten& unwritten : unwritten_) {
        if (!unwritten.holds_slot) {
          ran.push_back(std::move(unwritten));
          continue;
        }
        left.push_back(std::move(unwritten.item));
        --begun_;
      }
      unwritten_.swap(ran);
    }
    Wake({.all = true});
    return left;
  }

  // Waits for the items that were begun. REQUIRES: Close was called.
  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  struct Unwritten {
    Item item;
    bool holds_slot;
  };
  // Who has something to do once the mutex is free.
  struct Wakes {
    bool writer = false;
    size_t workers = 0;
    bool all = false;
  };

  void Wake(const Wakes& wakes) {
    if (wakes.all) {
      work_.notify_all();
      writing_.notify_all();
      return;
    }
    if (wakes.writer) writing_.notify_one();
    for (size_t i = 0; i < wakes.workers; ++i) work_.notify_one();
  }

  // -- These REQUIRE mutex_.
  [[nodiscard]] bool Ended() const { return closed_ && begun_ == 0; }
  void Begin(Wakes* wakes) {
    while (!waiting_.empty() && begun_ < slots_ && ran_ < slots_ * kRanASlotMax) {
      ++begun_;
      Item item = std::move(waiting_.front());
      waiting_.pop_front();
      if (steps_.is_written_first(*item))
        AddUnwritten({std::move(item), true}, wakes);
      else
        AddReady(std::move(item), wakes);
    }
    if (Ended()) wakes->all = true;
  }
  void AddUnwritten(Unwritten unwritten, Wakes* wakes) {
    unwritten_.push_back(std::move(unwritten));
    wakes->writer = true;
  }
  void AddReady(Item item, Wakes* wakes) {
    ready_.push_back(std::move(item));
    ++wakes->workers;
  }
  // `item` is to be written, or null.
  void LeaveSlot(Item item, Wakes* wakes) {
    if (item) {
      ++ran_;
      AddUnwritten({std::move(item), false}, wakes);
    }
    --begun_;
    Begin(wakes);
  }

  // -- What the threads do.
  void Work() {
    NameThisThread("worker");
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return Ended() || !ready_.empty(); });
      if (ready_.empty()) return;
      Item item = std::move(ready_.front());
      ready_.pop_front();
      lock.unlock();
      item = steps_.run(std::move(item));
      lock.lock();
      Wakes wakes;
      LeaveSlot(std::move(item), &wakes);
      lock.unlock();
      Wake(wakes);
      lock.lock();
    }
  }

  void Write() {
    NameThisThread("writer");
    std::vector<Item> items;
    std::vector<bool> holds_slot;
    std::vector<bool> started;
    std::unique_lock lock(mutex_);
    for (;;) {
      writing_.wait(lock, [this] { return Ended() || !unwritten_.empty(); });
      if (unwritten_.empty()) return;
      items.clear();
      holds_slot.clear();
      while (!unwritten_.empty() && items.size() < kWrittenTogetherMax) {
        items.push_back(std::move(unwritten_.front().item));
        holds_slot.push_back(unwritten_.front().holds_slot);
        unwritten_.pop_front();
      }
      lock.unlock();
      steps_.write(&items);
      started.assign(items.size(), false);
      for (size_t i = 0; i < items.size(); ++i) started[i] = items[i] && steps_.start(items[i]);
      lock.lock();
      Wakes wakes;
      for (size_t i = 0; i < items.size(); ++i) {
        if (items[i])
          AddReady(std::move(items[i]), &wakes);
        else if (holds_slot[i] && !started[i])
          --begun_;
        if (!holds_slot[i]) --ran_;
      }
      Begin(&wakes);
      lock.unlock();
      Wake(wakes);
      lock.lock();
    }
  }

  const size_t slots_;
  const size_t queue_items_max_;
  const Steps steps_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable writing_;
  // Guarded by mutex_.
  std::deque<Item> waiting_;         // for a slot
  std::deque<Unwritten> unwritten_;  // at most one a slot, and those that ran
  std::deque<Item> ready_;           // to run
  size_t begun_ = 0;                 // slots that are taken
  size_t ran_ = 0;                   // items that ran and are not written
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace oncegate

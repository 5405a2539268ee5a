#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace oncegate {

// A fixed number of threads that take items of type T from a bounded queue, in order. Each thread is a forwarding slot:
// an item that runs holds one. Thread-safe.
template <typename T>
class WorkerPool {
 public:
  using Item = std::unique_ptr<T>;

  // `run` is called on the pool's threads; it may block, and must not throw.
  WorkerPool(size_t threads, size_t queue_items_max, std::function<void(Item)> run)
      : queue_items_max_(queue_items_max), run_(std::move(run)) {
    threads_.reserve(threads);
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~WorkerPool() {
    Close();
    Join();
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False, and `item` untouched, if the queue is full or the pool is closed.
  bool Submit(Item& item) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || queue_.size() >= queue_items_max_) return false;
      queue_.push_back(std::move(item));
    }
    changed_.notify_one();
    return true;
  }

  // Takes no further items, and returns those that no thread has begun.
  std::deque<Item> Close() {
    std::deque<Item> left;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      left.swap(queue_);
    }
    changed_.notify_all();
    return left;
  }

  // Waits for the items that run. REQUIRES: Close was called.
  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Item item = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      run_(std::move(item));
      lock.lock();
    }
  }

  const size_t queue_items_max_;
  const std::function<void(Item)> run_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;  // guarded by mutex_
  bool closed_ = false;     // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace oncegate

#pragma once

#include <atomic>
#include <cstdint>

namespace oncegate {

// A bound on bytes held in memory by many parties together. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // Takes `bytes` if they still fit; false, and nothing taken, if not.
  bool TryTake(int64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= bytes_max_) return true;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  // Takes `bytes` whether they fit or not: for what must not be refused any more, and is bounded otherwise.
  void Take(int64_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void Give(int64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] int64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const int64_t bytes_max_;
  std::atomic<int64_t> used_{0};
};

// Bytes taken from a budget by one holder; given back when it goes. Not thread-safe.
class BudgetShare {
 public:
  explicit BudgetShare(ByteBudget& budget) : budget_(&budget) {}
  BudgetShare(BudgetShare&& other) noexcept : budget_(other.budget_), bytes_(other.bytes_) { other.bytes_ = 0; }
  BudgetShare& operator=(BudgetShare&& other) noexcept {
    if (this != &other) {
      Clear();
      budget_ = other.budget_;
      bytes_ = other.bytes_;
      other.bytes_ = 0;
    }
    return *this;
  }
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { Clear(); }

  // Makes the share at least `bytes` large; false, and the share as it was, if the budget does not allow it.
  bool GrowTo(int64_t bytes) {
    if (bytes <= bytes_) return true;
    if (!budget_->TryTake(bytes - bytes_)) return false;
    bytes_ = bytes;
    return true;
  }
  // The same, whether the budget allows it or not.
  void ForceTo(int64_t bytes) {
    if (bytes <= bytes_) return;
    budget_->Take(bytes - bytes_);
    bytes_ = bytes;
  }
  void Clear() {
    if (bytes_ > 0) budget_->Give(bytes_);
    bytes_ = 0;
  }

 private:
  ByteBudget* budget_;
  int64_t bytes_ = 0;
};

}  // namespace oncegate

#include "gateway/worker_pool.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace oncegate {
namespace {

struct Item {
  int number = 0;
  bool written_first = false;
  bool written_after = false;  // as well, and always if it was written first
  bool starts = false;         // goes on without a thread
  bool ran = false;
};

// A pool whose steps stop where the test wants them to.
class WorkerPoolTest : public ::testing::Test {
 protected:
  using Pool = WorkerPool<Item>;

  void Start(size_t slots, size_t queue_items_max) {
    pool_ = std::make_unique<Pool>(slots, queue_items_max,
                                   Pool::Steps{.is_written_first = [](const Item& item) { return item.written_first; },
                                               .write = [this](std::vector<Pool::Item>* items) { Write(items); },
                                               .start = [this](Pool::Item& item) { return Start(item); },
                                               .run = [this](Pool::Item item) { return Run(std::move(item)); }});
  }
  ~WorkerPoolTest() override {
    Set([this] { hold_writes_ = hold_runs_ = false; });
  }

  bool Submit(int number, bool written_first = true) {
    auto item = std::make_unique<Item>(Item{.number = number, .written_first = written_first});
    return pool_->Submit(item);
  }
  template <typename Change>
  void Set(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <typename Condition>
  void Await(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

  void Write(std::vector<Pool::Item>* items) {
    std::unique_lock lock(mutex_);
    writes_.push_back(items->size());
    changed_.notify_all();
    changed_.wait(lock, [this] { return !hold_writes_; });
    for (Pool::Item& item : *items) {
      if (item->ran) ended_.insert(item->number);
      if (item->ran || refused_.contains(item->number)) item.reset();
    }
    changed_.notify_all();
  }
  // Items that can go on without a thread wait in `started_`.
  bool Start(Pool::Item& item) {
    const std::lock_guard lock(mutex_);
    if (!item->starts) return false;
    started_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }
  Pool::Item TakeStarted() {
    const std::lock_guard lock(mutex_);
    Pool::Item item = std::move(started_.back());
    started_.pop_back();
    return item;
  }
  Pool::Item Run(Pool::Item item) {
    std::unique_lock lock(mutex_);
    ++running_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !hold_runs_; });
    --running_;
    ++runs_;
    changed_.notify_all();
    item->ran = true;
    if (item->written_first || item->written_after) return item;
    ended_.insert(item->number);
    changed_.notify_all();
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool hold_writes_ = false;
  bool hold_runs_ = false;
  size_t running_ = 0;
  size_t runs_ = 0;             // that are over
  std::vector<size_t> writes_;  // how many items each was of
  std::set<int> refused_;
  std::set<int> ended_;
  std::vector<Pool::Item> started_;
  std::unique_ptr<Pool> pool_;
};

TEST_F(WorkerPoolTest, WhatComesDuringAWriteIsWrittenTogether) {
  hold_writes_ = true;
  Start(10, 10);
  ASSERT_TRUE(Submit(0));
  Await([this] { return writes_.size() == 1; });
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(Submit(i));
  Set([this] { hold_writes_ = false; });
  Await([this] { return ended_.size() == 6; });
  Set([this] {
    EXPECT_EQ(writes_[0], 1U);
    EXPECT_GE(writes_[1], 5U);
  });
}

TEST_F(WorkerPoolTest, NothingIsWrittenBeforeASlotIsFree) {
  hold_runs_ = true;
  Start(2, 10);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Submit(i));
  Await([this] { return running_ == 2; });
  Set([this] { EXPECT_EQ(std::accumulate(writes_.begin(), writes_.end(), size_t{0}), 2U); });
  Set([this] { hold_runs_ = false; });
  Await([this] { return ended_.size() == 5; });
}

TEST_F(WorkerPoolTest, WhatIsRefusedGivesItsSlotBack) {
  refused_ = {0, 1, 2};
  Start(1, 10);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Submit(i));
  Await([this] { return ended_ == std::set<int>{3, 4}; });
}

TEST_F(WorkerPoolTest, ItemsThatAreNotWrittenPassWriters) {
  hold_writes_ = true;
  Start(2, 10);
  ASSERT_TRUE(Submit(0));
  Await([this] { return writes_.size() == 1; });
  ASSERT_TRUE(Submit(1, /*written_first=*/false));
  Await([this] { return ended_ == std::set<int>{1}; });
}

TEST_F(WorkerPoolTest, ClosingReturnsWhatWasNotBegunAndEndsTheRest) {
  hold_writes_ = true;
  Start(3, 10);
  ASSERT_TRUE(Submit(0));
  Await([this] { return writes_.size() == 1; });
  for (int i = 1; i < 6; ++i) ASSERT_TRUE(Submit(i));  // two of them have slots
  std::set<int> left;
  for (const Pool::Item& item : pool_->Close()) left.insert(item->number);
  EXPECT_EQ(left, (std::set<int>{1, 2, 3, 4, 5}));
  EXPECT_FALSE(Submit(6));
  Set([this] { hold_writes_ = false; });
  pool_->Join();
  EXPECT_EQ(ended_, std::set<int>{0});
}

TEST_F(WorkerPoolTest, WhatRanBeforeTheClosingIsStillWritten) {
  Start(2, 10);
  Set([this] { hold_runs_ = true; });
  ASSERT_TRUE(Submit(0));
  Await([this] { return running_ == 1; });
  Set([this] { hold_writes_ = true; });
  ASSERT_TRUE(Submit(1));  // keeps the writer busy
  Await([this] { return writes_.size() == 2; });
  Set([this] { hold_runs_ = false; });
  Await([this] { return running_ == 0; });
  EXPECT_TRUE(pool_->Close().empty());
  Set([this] { hold_writes_ = false; });
  pool_->Join();
  EXPECT_EQ(ended_, (std::set<int>{0, 1}));
}

// A disk that stalls must not gather outcomes without a bound, each with a body.
TEST_F(WorkerPoolTest, NothingBeginsWhileTooMuchThatRanIsUnwritten) {
  constexpr size_t kSlots = 2;
  constexpr size_t kItems = 20;
  hold_writes_ = true;
  Start(kSlots, kItems);
  ASSERT_TRUE(Submit(0));
  Await([this] { return writes_.size() == 1; });
  // These need no writing before they run, only after it.
  for (size_t i = 1; i < kItems; ++i) {
    auto item = std::make_unique<Item>(Item{.number = static_cast<int>(i), .written_after = true});
    ASSERT_TRUE(pool_->Submit(item)) << i;
  }
  Await([this] { return runs_ >= kSlots * Pool::kRanASlotMax; });
  constexpr size_t kRunsMax = kSlots * (Pool::kRanASlotMax + 1) - 1;  // the last of them begin when one is missing
  const auto runs = [this] {
    const std::lock_guard lock(mutex_);
    return runs_;
  };
  for (int i = 0; i < 10'000 && runs() <= kRunsMax; ++i) std::this_thread::yield();
  EXPECT_LE(runs(), kRunsMax);
  std::set<int> left;
  for (const Pool::Item& item : pool_->Close()) left.insert(item->number);
  Set([this] { hold_writes_ = false; });
  pool_->Join();
  EXPECT_EQ(ended_.size() + left.size(), kItems);
}

TEST_F(WorkerPoolTest, WhatWaitsForOutcomesBeginsOnceTheyAreWritten) {
  hold_writes_ = true;
  Start(1, 20);
  for (int i = 0; i < 20; ++i) {
    auto item = std::make_unique<Item>(Item{.number = i, .written_after = true});
    ASSERT_TRUE(pool_->Submit(item)) << i;
  }
  Await([this] { return runs_ >= Pool::kRanASlotMax; });
  Set([this] { hold_writes_ = false; });
  Await([this] { return ended_.size() == 20; });
}

TEST_F(WorkerPoolTest, WhatIsStartedHoldsItsSlotAndNoThread) {
  Start(2, 10);
  const auto submit = [this](int number, bool starts) {
    auto item = std::make_unique<Item>(Item{.number = number, .written_first = true, .starts = starts});
    return pool_->Submit(item);
  };
  ASSERT_TRUE(submit(0, true));
  ASSERT_TRUE(submit(1, true));
  ASSERT_TRUE(submit(2, false));
  Await([this] { return started_.size() == 2; });
  Set([this] {
    EXPECT_EQ(std::accumulate(writes_.begin(), writes_.end(), size_t{0}), 2U) << "there is no third slot";
  });
  // One of them is over, and is written; the other goes on with a thread.
  Pool::Item over = TakeStarted();
  over->ran = true;
  pool_->GiveBack(std::move(over), /*to_be_written=*/true);
  Await([this] { return ended_.size() == 2; });
  Set([this] { EXPECT_EQ(runs_, 1U); });
  pool_->GiveBack(TakeStarted(), /*to_be_written=*/false);
  Await([this] { return ended_ == std::set<int>{0, 1, 2}; });
  Set([this] { EXPECT_EQ(runs_, 2U); });
}

TEST_F(WorkerPoolTest, TheEndWaitsForWhatIsStarted) {
  Start(1, 10);
  auto item = std::make_unique<Item>(Item{.number = 7, .written_first = true, .starts = true});
  ASSERT_TRUE(pool_->Submit(item));
  Await([this] { return started_.size() == 1; });
  EXPECT_TRUE(pool_->Close().empty());
  std::thread giver([this] {
    Pool::Item over = TakeStarted();
    over->ran = true;
    pool_->GiveBack(std::move(over), /*to_be_written=*/true);
  });
  pool_->Join();
  EXPECT_EQ(ended_, std::set<int>{7});
  giver.join();
}

TEST_F(WorkerPoolTest, TheQueueIsBounded) {
  hold_runs_ = true;
  Start(1, 2);
  ASSERT_TRUE(Submit(0, false));
  Await([this] { return running_ == 1; });
  EXPECT_TRUE(Submit(1));
  EXPECT_TRUE(Submit(2));
  EXPECT_FALSE(Submit(3));
  Set([this] { hold_runs_ = false; });
  Await([this] { return ended_.size() == 3; });
}

}  // namespace
}  // namespace oncegate

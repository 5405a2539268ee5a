#include "base/byte_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace oncegate {
namespace {

TEST(BudgetShare, GivesBackWhatItTook) {
  ByteBudget budget(100);
  {
    BudgetShare share(budget);
    EXPECT_TRUE(share.GrowTo(60));
    EXPECT_TRUE(share.GrowTo(40));
    EXPECT_EQ(budget.used(), 60);
    BudgetShare other(budget);
    EXPECT_FALSE(other.GrowTo(41));
    EXPECT_EQ(budget.used(), 60);
    EXPECT_TRUE(other.GrowTo(40));
    const BudgetShare moved = std::move(share);
    EXPECT_EQ(budget.used(), 100);
    other.Clear();
    EXPECT_EQ(budget.used(), 60);
  }
  EXPECT_EQ(budget.used(), 0);
}

TEST(BudgetShare, AssignmentGivesBackTheOldBytes) {
  ByteBudget budget(100);
  BudgetShare share(budget);
  ASSERT_TRUE(share.GrowTo(70));
  share = BudgetShare(budget);
  EXPECT_EQ(budget.used(), 0);
}

TEST(ByteBudget, NeverHandsOutMoreThanItHas) {
  ByteBudget budget(1000);
  std::atomic<int64_t> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10'000; ++round) {
        if (!budget.TryTake(400)) continue;
        static std::atomic<int64_t> held{0};
        const int64_t now = held.fetch_add(400) + 400;
        int64_t seen = most.load();
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        held.fetch_sub(400);
        budget.Give(400);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), 800);
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace oncegate

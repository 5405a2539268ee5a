#include "gateway/in_flight_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <thread>
#include <vector>

namespace oncegate {
namespace {

// Writes down how it was woken.
class NotingWaiter final : public Waiter {
 public:
  explicit NotingWaiter(std::vector<WakeReason>* woken) : woken_(woken) {}
  [[nodiscard]] bool Gone() const override { return false; }
  void Wake(std::unique_ptr<Waiter>, WakeReason reason) override { woken_->push_back(reason); }

 private:
  std::vector<WakeReason>* woken_;
};

class InFlightTableTest : public testing::Test {
 protected:
  InFlightTable::Admission Admit(const ScopedKey& key, int64_t wait_ms) {
    std::unique_ptr<Waiter> waiter = std::make_unique<NotingWaiter>(&woken_);
    return table_.Admit(key, {}, clock_.SteadyMs() + wait_ms, waiter);
  }
  using LeaseWait = InFlightTable::Permit::LeaseWait;
  LeaseWait AwaitLease(InFlightTable::Admission& permit, int64_t lease_ms, int64_t wait_ms) {
    std::unique_ptr<Waiter> waiter = std::make_unique<NotingWaiter>(&woken_);
    const int64_t now_ms = clock_.SteadyMs();
    return std::get<InFlightTable::Permit>(permit).WaitForLease(now_ms + lease_ms, now_ms + wait_ms, waiter);
  }
  static bool IsPermit(const InFlightTable::Admission& admission) {
    return std::holds_alternative<InFlightTable::Permit>(admission);
  }
  static bool IsParked(const InFlightTable::Admission& admission) {
    return std::holds_alternative<InFlightTable::Parked>(admission);
  }

  ManualClock clock_{0};
  std::vector<WakeReason> woken_;
  const ScopedKey key_{"s", "k"};
  InFlightTable table_{clock_, InFlightTable::Timer::kCaller};
};

TEST_F(InFlightTableTest, OnePermitAKey) {
  InFlightTable::Admission first = Admit(key_, 1000);
  ASSERT_TRUE(IsPermit(first));
  EXPECT_TRUE(IsParked(Admit(key_, 1000)));
  InFlightTable::Admission other = Admit(ScopedKey("s", "other"), 1000);
  EXPECT_TRUE(IsPermit(other));
  EXPECT_TRUE(table_.Holds(key_));
  std::get<InFlightTable::Permit>(first).End(Ending::kSettled);
  std::get<InFlightTable::Permit>(other).End(Ending::kSettled);
  EXPECT_EQ(woken_, std::vector{WakeReason::kSettled});
  EXPECT_FALSE(table_.Holds(key_));
}

TEST_F(InFlightTableTest, NewsOfALeaseWakeThoseWhoWaitForIt) {
  InFlightTable::Admission first = Admit(key_, 1000);
  EXPECT_EQ(AwaitLease(first, 500, 1000), LeaseWait::kParked);
  EXPECT_FALSE(table_.Holds(key_));
  InFlightTable::Admission second = Admit(key_, 1000);
  ASSERT_TRUE(IsPermit(second)) << "a later arrival looks for itself";
  EXPECT_EQ(AwaitLease(second, 500, 1000), LeaseWait::kParked);
  EXPECT_EQ(table_.waiting(), 2U);
  table_.Notify(key_, Ending::kSettled);
  EXPECT_EQ(woken_, (std::vector{WakeReason::kSettled, WakeReason::kSettled}));
  EXPECT_EQ(table_.waiting(), 0U);
}

TEST_F(InFlightTableTest, NewsThatComeWhileThePermitIsHeldAreNotLost) {
  InFlightTable::Admission permit = Admit(key_, 1000);
  table_.Notify(key_, Ending::kSettled);
  EXPECT_EQ(AwaitLease(permit, 500, 1000), LeaseWait::kLookAgain);
  EXPECT_TRUE(table_.Holds(key_));
  EXPECT_EQ(AwaitLease(permit, 500, 1000), LeaseWait::kParked) << "once it has looked again";
  InFlightTable::Admission refused = Admit(key_, 1000);
  table_.Notify(key_, Ending::kForgot);
  EXPECT_TRUE(woken_.empty()) << "whoever holds the permit passes it on";
  std::get<InFlightTable::Permit>(refused).End(Ending::kForgot);
  EXPECT_EQ(woken_, std::vector{WakeReason::kForgot});
}

TEST_F(InFlightTableTest, APermitHeldForNothingDisturbsNobodyWhoWaitsForALease) {
  InFlightTable::Admission first = Admit(key_, 1000);
  EXPECT_EQ(AwaitLease(first, 500, 1000), LeaseWait::kParked);
  InFlightTable::Admission second = Admit(key_, 1000);
  ASSERT_TRUE(IsParked(Admit(key_, 1000)));
  std::get<InFlightTable::Permit>(second).End(Ending::kForgot);
  EXPECT_EQ(woken_, std::vector{WakeReason::kForgot}) << "the one that waited for the permit";
  EXPECT_EQ(table_.waiting(), 1U);
}

TEST_F(InFlightTableTest, AWaitForALeaseEndsWithTheLeaseOrWithItsOwnTime) {
  for (const auto& [lease_ms, wait_ms] : {std::pair{500, 1000}, std::pair{1000, 500}}) {
    woken_.clear();
    InFlightTable::Admission permit = Admit(key_, wait_ms);
    EXPECT_EQ(AwaitLease(permit, lease_ms, wait_ms), LeaseWait::kParked);
    clock_.Advance(499);
    table_.ExpireWaits();
    EXPECT_TRUE(woken_.empty());
    clock_.Advance(1);
    table_.ExpireWaits();
    EXPECT_EQ(woken_, std::vector{WakeReason::kTimedOut});
  }
}

TEST_F(InFlightTableTest, NobodyWaitsForALeaseAfterTheShutdown) {
  InFlightTable::Admission first = Admit(key_, 1000);
  EXPECT_EQ(AwaitLease(first, 500, 1000), LeaseWait::kParked);
  InFlightTable::Admission second = Admit(key_, 1000);
  table_.ShutDown();
  EXPECT_EQ(woken_, std::vector{WakeReason::kShutDown});
  EXPECT_EQ(AwaitLease(second, 500, 1000), LeaseWait::kClosed);
  std::get<InFlightTable::Permit>(second).End(Ending::kForgot);
}

TEST_F(InFlightTableTest, APermitThatIsDroppedEndsUnknown) {
  {
    const InFlightTable::Admission permit = Admit(key_, 1000);
    ASSERT_TRUE(IsParked(Admit(key_, 1000)));
  }
  EXPECT_EQ(woken_, std::vector{WakeReason::kUnknown});
}

TEST_F(InFlightTableTest, WaitsEndInTimeAndNeverElect) {
  InFlightTable::Admission permit = Admit(key_, 1000);
  ASSERT_TRUE(IsParked(Admit(key_, 100)));
  ASSERT_TRUE(IsParked(Admit(key_, 200)));
  clock_.Advance(99);
  table_.ExpireWaits();
  EXPECT_TRUE(woken_.empty());
  clock_.Advance(1);
  table_.ExpireWaits();
  EXPECT_EQ(woken_, std::vector{WakeReason::kTimedOut});
  EXPECT_TRUE(table_.Holds(key_));
  EXPECT_EQ(table_.waiting(), 1U);
  std::get<InFlightTable::Permit>(permit).End(Ending::kForgot);
  EXPECT_EQ(woken_, (std::vector{WakeReason::kTimedOut, WakeReason::kForgot}));
  clock_.Advance(1000);
  table_.ExpireWaits();
  EXPECT_EQ(woken_.size(), 2U) << "a wait that ended must not be woken again";
}

TEST_F(InFlightTableTest, NoTimeLeftMeansInFlight) {
  InFlightTable::Admission permit = Admit(key_, 1000);
  const InFlightTable::Admission late = Admit(key_, 0);
  ASSERT_TRUE(std::holds_alternative<Decision>(late));
  EXPECT_TRUE(std::holds_alternative<InFlight>(std::get<Decision>(late)));
  std::get<InFlightTable::Permit>(permit).End(Ending::kForgot);
}

TEST_F(InFlightTableTest, ShutDownWakesAllAndParksNobody) {
  InFlightTable::Admission permit = Admit(key_, 1000);
  ASSERT_TRUE(IsParked(Admit(key_, 1000)));
  table_.ShutDown();
  EXPECT_EQ(woken_, std::vector{WakeReason::kShutDown});
  EXPECT_FALSE(IsParked(Admit(key_, 1000)));
  std::get<InFlightTable::Permit>(permit).End(Ending::kForgot);
}

// Says when it was woken.
class PromisingWaiter final : public Waiter {
 public:
  explicit PromisingWaiter(std::promise<WakeReason>* woken) : woken_(woken) {}
  [[nodiscard]] bool Gone() const override { return false; }
  void Wake(std::unique_ptr<Waiter>, WakeReason reason) override { woken_->set_value(reason); }

 private:
  std::promise<WakeReason>* woken_;
};

TEST(InFlightTable, ItsOwnThreadEndsWaits) {
  const SystemClock clock;
  InFlightTable table(clock);
  const ScopedKey key("s", "k");
  std::promise<WakeReason> woken;
  std::unique_ptr<Waiter> waiter = std::make_unique<PromisingWaiter>(&woken);
  InFlightTable::Admission permit = table.Admit(key, {}, 0, waiter);
  ASSERT_TRUE(std::holds_alternative<InFlightTable::Parked>(table.Admit(key, {}, clock.SteadyMs() + 20, waiter)));
  EXPECT_EQ(woken.get_future().get(), WakeReason::kTimedOut);
  std::get<InFlightTable::Permit>(permit).End(Ending::kForgot);
}

TEST(InFlightTable, ManyThreadsAgreeOnOneHolder) {
  const SystemClock clock;
  InFlightTable table(clock);
  std::atomic<int> holders{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::vector<WakeReason> woken;
      for (int round = 0; round < 5000; ++round) {
        std::unique_ptr<Waiter> waiter = std::make_unique<NotingWaiter>(&woken);
        InFlightTable::Admission admission = table.Admit(ScopedKey("s", "k"), {}, 0, waiter);
        auto* permit = std::get_if<InFlightTable::Permit>(&admission);
        if (permit == nullptr) continue;
        most = std::max(most.load(), ++holders);
        --holders;
        permit->End(Ending::kForgot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most.load(), 1);
}

}  // namespace
}  // namespace oncegate

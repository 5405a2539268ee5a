#include "store/call_combiner.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fake_store.h"

namespace oncegate {
namespace {

class CallCombinerTest : public ::testing::Test {
 protected:
  CallCombinerTest() {
    store_.on_call_together = [this](const std::vector<StoreCall>& calls) {
      groups_.push_back(calls.size());
      if (hold_first_ && groups_.size() == 1) {
        first_is_made_.set_value();
        go_on_.get_future().wait();
      }
    };
  }

  static StoreCall ClaimOf(const std::string& key) {
    ClaimCall call;
    call.claim.key = ScopedKey("default", key);
    call.claim.ttl_ms = 60'000;
    return call;
  }
  static std::string KeyOf(const StoreCall& made) { return std::string(std::get<ClaimCall>(made).claim.key.key()); }
  // Submits a claim that writes down whose it was, and on which thread it ended.
  void Submit(const std::string& key) {
    combiner_.Submit(ClaimOf(key), [this](const StoreCall& made) {
      EXPECT_TRUE(std::get<ClaimCall>(made).result.ok());
      made_.push_back(KeyOf(made));
      threads_.push_back(std::this_thread::get_id());
    });
  }
  // Has a thread make a claim of "first", and returns while it does.
  std::thread HoldFirst() {
    hold_first_ = true;
    std::thread first([this] { Submit("first"); });
    first_is_made_.get_future().wait();
    return first;
  }

  SystemClock clock_;
  FakeStore store_{clock_};
  CallCombiner combiner_{store_};
  bool hold_first_ = false;
  std::promise<void> first_is_made_;
  std::promise<void> go_on_;
  // Only ever used by the thread that makes calls.
  std::vector<size_t> groups_;
  std::vector<std::string> made_;
  std::vector<std::thread::id> threads_;
};

TEST_F(CallCombinerTest, ACallAloneIsMadeAtOnceByWhoSubmitsIt) {
  Submit("a");
  EXPECT_EQ(made_, std::vector<std::string>{"a"});
  Submit("b");
  EXPECT_EQ(made_, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(groups_, (std::vector<size_t>{1, 1}));
  EXPECT_EQ(threads_, std::vector<std::thread::id>(2, std::this_thread::get_id()));
}

TEST_F(CallCombinerTest, WhatComesMeanwhileIsMadeTogetherByWhoeverMakesCalls) {
  std::thread first = HoldFirst();
  const std::thread::id its_id = first.get_id();
  for (const char* key : {"a", "b", "c"}) Submit(key);
  EXPECT_TRUE(made_.empty()) << "and nobody waited for that";
  go_on_.set_value();
  first.join();
  EXPECT_EQ(made_, (std::vector<std::string>{"first", "a", "b", "c"}));
  EXPECT_EQ(groups_, (std::vector<size_t>{1, 3}));
  EXPECT_EQ(threads_, std::vector<std::thread::id>(4, its_id));
}

TEST_F(CallCombinerTest, NotTooManyTogether) {
  std::thread first = HoldFirst();
  constexpr size_t kCalls = 2 * CallCombiner::kTogetherMax + 1;
  for (size_t i = 0; i < kCalls; ++i) Submit(std::to_string(i));
  go_on_.set_value();
  first.join();
  EXPECT_EQ(groups_, (std::vector<size_t>{1, CallCombiner::kTogetherMax, CallCombiner::kTogetherMax, 1}));
  ASSERT_EQ(made_.size(), kCalls + 1);
  for (size_t i = 0; i < kCalls; ++i) EXPECT_EQ(made_[i + 1], std::to_string(i));
}

TEST_F(CallCombinerTest, WhoIsToldMaySubmitFurtherCalls) {
  combiner_.Submit(ClaimOf("a"), [this](const StoreCall& made) {
    made_.push_back(KeyOf(made));
    Submit("b");
    EXPECT_EQ(made_.size(), 1U) << "behind this one";
  });
  EXPECT_EQ(made_, (std::vector<std::string>{"a", "b"}));
}

TEST_F(CallCombinerTest, ThreadsLoseNoCall) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 500;
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        std::promise<void> done;
        combiner_.Submit(ClaimOf(std::to_string(t) + "." + std::to_string(i)), [&](const StoreCall& made) {
          if (std::get<ClaimCall>(made).result.ok()) ++ended;
          done.set_value();
        });
        done.get_future().wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, kThreads * kCalls);
  EXPECT_EQ(store_.claims, kThreads * kCalls);
}

}  // namespace
}  // namespace oncegate

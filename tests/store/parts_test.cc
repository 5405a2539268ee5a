// The parts of the store that stand alone: histograms, counts, keys, time, the gate.

#include <gtest/gtest.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <random>
#include <thread>

#include "store/compaction_rest.h"
#include "store/expiry_properties.h"
#include "store/io_limiter.h"
#include "store/keys.h"
#include "store/log_gap_filter.h"
#include "store/record_counts.h"
#include "store/stored_time.h"
#include "store/write_gate.h"

namespace oncegate::store {
namespace {

// A batch of so many changes, the first of which has this sequence number.
rocksdb::WriteBatch BatchAt(uint64_t sequence, int changes) {
  rocksdb::WriteBatch batch;
  for (int i = 0; i < changes; ++i) EXPECT_TRUE(batch.Put("k", "v").ok());
  std::string bytes = batch.Data();
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(sequence >> (8 * i));
  return rocksdb::WriteBatch(std::move(bytes));
}

TEST(LogGapFilter, StopsWhereALogDoesNotGoOnFromTheOneBefore) {
  using Option = rocksdb::WalFilter::WalProcessingOption;
  const std::unique_ptr<rocksdb::WalFilter> filter = NewLogGapFilter(nullptr);
  const auto found = [&](uint64_t log, uint64_t sequence, int changes) {
    return filter->LogRecordFound(log, std::to_string(log) + ".log", BatchAt(sequence, changes), nullptr, nullptr);
  };
  EXPECT_EQ(found(7, 0x1fe, 3), Option::kContinueProcessing) << "it may begin anywhere";
  EXPECT_EQ(found(7, 0x201, 1), Option::kContinueProcessing);
  EXPECT_EQ(found(9, 0x202, 2), Option::kContinueProcessing) << "it goes on in the next log";
  EXPECT_EQ(found(9, 0x300, 1), Option::kContinueProcessing) << "a batch between them failed";
  EXPECT_EQ(found(12, 0x302, 1), Option::kStopReplay);
}

// Time that passes only while somebody sleeps.
struct TurnedTime {
  int64_t now_us = 5'000'000;
  int64_t slept_us = 0;

  IoLimiterTime Get() {
    return {.now_us = [this] { return now_us; },
            .sleep_us =
                [this](int64_t us) {
                  now_us += us;
                  slept_us += us;
                }};
  }
};

TEST(IoLimiter, HoldsCompactionsToTheRate) {
  TurnedTime time;
  const auto limiter = NewIoLimiter(1'000'000, time.Get());
  const int64_t burst = limiter->GetSingleBurstBytes();
  EXPECT_EQ(burst, 10'000);
  for (int i = 0; i < 500; ++i) limiter->Request(burst, rocksdb::Env::IO_LOW, nullptr);
  EXPECT_NEAR(static_cast<double>(time.slept_us), 5e6, 2e4);
  EXPECT_EQ(limiter->GetTotalBytesThrough(rocksdb::Env::IO_LOW), 5'000'000);
  EXPECT_EQ(limiter->GetTotalBytesThrough(rocksdb::Env::IO_TOTAL), 5'000'000);
  EXPECT_EQ(limiter->GetTotalRequests(rocksdb::Env::IO_LOW), 500);
}

TEST(IoLimiter, WhatWasNotUsedIsNotSaved) {
  TurnedTime time;
  const auto limiter = NewIoLimiter(1'000'000, time.Get());
  time.now_us += 3'600'000'000;
  for (int i = 0; i < 100; ++i) limiter->Request(10'000, rocksdb::Env::IO_LOW, nullptr);
  EXPECT_NEAR(static_cast<double>(time.slept_us), 1e6, 2e4);
}

TEST(IoLimiter, FlushesDoNotSleepAndOthersPayForThem) {
  TurnedTime time;
  const auto limiter = NewIoLimiter(1'000'000, time.Get());
  for (int i = 0; i < 50; ++i) limiter->Request(10'000, rocksdb::Env::IO_HIGH, nullptr);
  EXPECT_EQ(time.slept_us, 0);
  limiter->Request(10'000, rocksdb::Env::IO_LOW, nullptr);
  EXPECT_NEAR(static_cast<double>(time.slept_us), 5e5, 2e4);
}

TEST(IoLimiter, NobodySleepsForLong) {
  TurnedTime time;
  const auto limiter = NewIoLimiter(1'000'000, time.Get());
  for (int i = 0; i < 10'000; ++i) limiter->Request(10'000, rocksdb::Env::IO_HIGH, nullptr);
  limiter->Request(10'000, rocksdb::Env::IO_LOW, nullptr);
  EXPECT_LE(time.slept_us, 1'000'000);
}

TEST(CompactionRest, LastsLongerEachTimeThatTheyFailAgain) {
  CompactionRest rest;
  EXPECT_FALSE(rest.Update(0, 0));
  EXPECT_TRUE(rest.Update(1, 10'000));
  EXPECT_TRUE(rest.Update(3, 39'999)) << "those of cleanups are no reason to rest for longer";
  EXPECT_FALSE(rest.Update(3, 40'000));
  EXPECT_FALSE(rest.Update(3, 50'000));
  EXPECT_TRUE(rest.Update(4, 60'000)) << "again";
  EXPECT_TRUE(rest.Update(4, 119'999));
  EXPECT_FALSE(rest.Update(4, 120'000));
  int64_t now_ms = 120'000;
  int64_t longest_ms = 0;
  for (uint64_t failed = 5; failed < 15; ++failed) {
    const int64_t began_ms = now_ms += 10'000;
    EXPECT_TRUE(rest.Update(failed, now_ms));
    while (rest.Update(failed, now_ms)) now_ms += 1000;
    longest_ms = now_ms - began_ms;
  }
  EXPECT_EQ(longest_ms, CompactionRest::kRestMsMax);
  now_ms += CompactionRest::kRelapseMs;
  EXPECT_TRUE(rest.Update(15, now_ms)) << "much later";
  EXPECT_FALSE(rest.Update(15, now_ms + CompactionRest::kRestMsMin));
}

TEST(ExpiryHistogram, SharesNeverExceedTheTruthAndComeClose) {
  std::mt19937_64 random(3);  // NOLINT(cert-msc51-cpp)
  ExpiryHistogram histogram;
  std::vector<int64_t> times;
  for (int i = 0; i < 10'000; ++i) {
    times.push_back(1'800'000'000'000 + static_cast<int64_t>(random() % 86'400'000));
    histogram.Add(times.back());
  }
  ExpiryHistogram decoded;
  ASSERT_TRUE(ExpiryHistogram::Decode(histogram.Encode(), &decoded));
  for (int hour = -1; hour <= 25; ++hour) {
    const int64_t cutoff = 1'800'000'000'000 + hour * 3'600'000;
    const auto expired = std::count_if(times.begin(), times.end(), [&](int64_t t) { return t <= cutoff; });
    const double share = static_cast<double>(expired) / 10'000;
    EXPECT_LE(decoded.ShareExpiredBy(cutoff), share) << hour;
    EXPECT_GE(decoded.ShareExpiredBy(cutoff), share - 0.05) << hour;
    EXPECT_EQ(decoded.AnyExpiredBy(cutoff), expired > 0) << hour;
  }
}

TEST(ExpiryHistogram, WhatNeverExpiresCountsAgainstTheShare) {
  ExpiryHistogram histogram;
  histogram.Add(kNever);
  EXPECT_FALSE(histogram.AnyExpiredBy(kNever - 1));
  histogram.Add(5);
  EXPECT_EQ(histogram.ShareExpiredBy(4), 0);
  EXPECT_EQ(histogram.ShareExpiredBy(5), 0.5);
}

TEST(ExpiryHistogram, GarbageIsRefused) {
  ExpiryHistogram histogram;
  histogram.Add(5);
  const std::string bytes = histogram.Encode();
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(ExpiryHistogram::Decode(bytes.substr(0, size), &histogram)) << size;
}

TEST(RecordCounts, AddsUpByStateTypeAndTime) {
  RecordCounts counts;
  counts.Add({RecordState::kInProgress, 1, kNever}, +1);
  counts.Add({RecordState::kUnknown, 1, kNever}, +1);
  counts.Add({RecordState::kCompleted, 1, 100'500}, +1);
  counts.Add({RecordState::kCompleted, 2, 100'900}, +1);
  counts.Add({RecordState::kUnknown, 2, 500'000}, +1);
  const auto tally = counts.CountAt(100'700, {{RecordState::kCompleted, 1, 100'500}});
  EXPECT_EQ(tally.by_type.at(1).in_progress, 1);
  EXPECT_EQ(tally.by_type.at(1).unknown, 1);
  EXPECT_EQ(tally.by_type.at(1).completed, 0);
  EXPECT_EQ(tally.by_type.at(1).expired, 1);
  EXPECT_EQ(tally.by_type.at(2).completed, 1);
  EXPECT_EQ(tally.by_type.at(2).unknown, 1);
  const std::vector<std::pair<int64_t, uint64_t>> expiring = {{160'000, 1}, {1'000'000, 1}};
  EXPECT_EQ(tally.expiring, expiring);
}

TEST(RecordCounts, TheLastBucketEndsWithTheLastRecord) {
  RecordCounts counts;
  counts.Add({RecordState::kCompleted, 1, 600LL * 86'400'000 + 5}, +1);
  const std::vector<std::pair<int64_t, uint64_t>> expiring = {{600LL * 86'400'000 + 60'000, 1}};
  EXPECT_EQ(counts.CountAt(0, {}).expiring, expiring);
}

TEST(RecordCounts, WhatWasRemovedIsNotCountedAgain) {
  RecordCounts counts;
  counts.Add({RecordState::kCompleted, 1, 59'999}, +1);
  counts.Add({RecordState::kCompleted, 1, 100'500}, +1);
  counts.Add({RecordState::kCompleted, 1, 100'900}, +1);
  EXPECT_EQ(counts.RemoveUntil(100'700, {{RecordState::kCompleted, 1, 100'500}}), 2U);
  counts.Add({RecordState::kCompleted, 1, 100'500}, -1);  // a claim over a record that the cleanup took out
  EXPECT_EQ(counts.CountAt(100'700, {}).by_type.at(1).completed, 1);
  EXPECT_EQ(counts.RemoveUntil(200'000, {}), 1U);
}

TEST(RecordCounts, ARemovalMayComeFirst) {
  RecordCounts counts;
  counts.Add({RecordState::kCompleted, 1, 100'000}, -1);
  counts.Add({RecordState::kCompleted, 1, 100'000}, +1);
  EXPECT_TRUE(counts.CountAt(0, {}).by_type.empty());
}

TEST(Keys, SortByTimeAndReadBack) {
  const ScopedKey key("default", "evt_1");
  EXPECT_LT(ExpiryKey(255, 9, key), ExpiryKey(256, 1, key));
  EXPECT_LT(ExpiryKey(256, 9, key), TimeBound(257));
  EXPECT_LT(BodyKey(1LL << 40, {}, BodyPart::kResponse), BodyKey(kNever, {}, BodyPart::kRequest));
  CreatedEntry entry;
  ASSERT_TRUE(ParseCreatedKey(CreatedKey(12345, key), &entry));
  EXPECT_EQ(entry.created_at_ms, 12345);
  EXPECT_EQ(entry.key, key);
  EXPECT_FALSE(ParseCreatedKey("1234567", &entry));
  EXPECT_NE(LabelPrefix("ab", "c"), LabelPrefix("a", "bc"));
}

TEST(StoredTime, FollowsTheSteadyClockOnly) {
  ManualClock clock(1000);
  const StoredTime time(clock, 5000);
  EXPECT_EQ(time.NowMs(), 5000);
  clock.SetWall(1'000'000);
  EXPECT_EQ(time.NowMs(), 5000);
  clock.Advance(10);
  EXPECT_EQ(time.NowMs(), 5010);
  EXPECT_EQ(StoredTime(clock, 0).NowMs(), 1'000'010);
}

TEST(StoredTime, NoEndIsNeverReachedByCounting) {
  EXPECT_LT(StoredTime::After(kNever - 10, 1000), kNever);
  EXPECT_LT(StoredTime::After(5, kNever), kNever);
  EXPECT_EQ(StoredTime::After(5, 7), 12);
}

TEST(WriteGate, AClosureSeesNobodyInside) {
  WriteGate gate;
  std::atomic<int> inside{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&] {
      while (!stop) {
        const WriteGate::Pass pass(gate);
        ++inside;
        std::this_thread::yield();
        --inside;
      }
    });
  for (int i = 0; i < 1000; ++i) {
    const WriteGate::Closure closure(gate);
    EXPECT_EQ(inside.load(), 0);
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
}

}  // namespace
}  // namespace oncegate::store

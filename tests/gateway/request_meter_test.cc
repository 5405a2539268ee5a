#include "gateway/request_meter.h"

#include <algorithm>
#include <thread>

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

// "default executed=1 replayed=2", a line a scope that has any.
std::string CountsOf(const RequestMeter& meter) {
  std::string text;
  for (const auto& [scope, totals] : meter.TotalsByScope()) {
    std::string line;
    for (size_t i = 0; i < totals.size(); ++i) {
      if (totals[i] > 0) line += " " + std::string(Outcome::FromIndex(i).name()) + "=" + std::to_string(totals[i]);
    }
    if (!line.empty()) text += scope + line + "\n";
  }
  return text;
}

void CountClaim(RequestMeter& meter, const std::string& scope) {
  meter.Count({.outcome = Outcome::kExecuted, .route_scope = scope, .by_claim = true});
}

TEST(DurationCountsTest, ADurationIsInTheFirstBucketThatIsNotBelowIt) {
  struct Row {
    int64_t us;
    size_t bucket;
  };
  const size_t last = kDurationBoundsUs.size();
  for (const Row& row : {Row{-5, 0}, Row{0, 0}, Row{25, 0}, Row{26, 1}, Row{1'000, 9}, Row{1'001, 10},
                         Row{120'000'000, last - 1}, Row{120'000'001, last}}) {
    DurationHistogram histogram;
    histogram.Add(row.us);
    const DurationCounts counts = histogram.Read();
    EXPECT_EQ(counts.buckets[row.bucket], 1U) << row.us;
    EXPECT_EQ(counts.count(), 1U) << row.us;
    EXPECT_EQ(counts.sum_us, static_cast<uint64_t>(std::max<int64_t>(row.us, 0))) << row.us;
  }
}

TEST(DurationCountsTest, QuantilesLieWithinTheirBuckets) {
  DurationHistogram histogram;
  EXPECT_EQ(histogram.Read().QuantileUs(0.5), std::nullopt);
  for (int i = 0; i < 90; ++i) histogram.Add(60);
  const DurationCounts earlier = histogram.Read();
  for (int i = 0; i < 10; ++i) histogram.Add(2'000);
  const DurationCounts all = histogram.Read();
  EXPECT_DOUBLE_EQ(*all.QuantileUs(0.45), 62.5);
  EXPECT_DOUBLE_EQ(*all.QuantileUs(0.95), 1'750);
  EXPECT_DOUBLE_EQ(*all.Since(earlier).QuantileUs(0.5), 1'750);
  histogram.Add(3'600'000'000);
  EXPECT_DOUBLE_EQ(*histogram.Read().QuantileUs(1), 120'000'000);
}

TEST(RequestMeterTest, NothingIsLostWhenThreadsCountAtOnce) {
  const SystemClock clock;
  RequestMeter meter(clock);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&meter, t] {
      const std::string scope = "scope_" + std::to_string(t % 3);
      for (int i = 0; i < 10'000; ++i)
        meter.Count({.outcome = Outcome::kReplayed, .route_scope = scope, .duration_us = 80});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(meter.Total(Outcome::kReplayed), 80'000U);
  EXPECT_EQ(meter.Durations(Outcome::kReplayed).count(), 80'000U);
  EXPECT_EQ(CountsOf(meter), "scope_0 replayed=30000\nscope_1 replayed=30000\nscope_2 replayed=20000\n");
}

TEST(RequestMeterTest, ClaimsCannotMakeMoreScopesThanTheBound) {
  const SystemClock clock;
  RequestMeter meter(clock);
  for (size_t i = 0; i < 10 * RequestMeter::kClaimScopesMax; ++i) CountClaim(meter, "claimed_" + std::to_string(i));
  // The list has ~none and ~other besides.
  EXPECT_EQ(meter.TotalsByScope().size(), RequestMeter::kClaimScopesMax + 2);
  EXPECT_EQ(meter.Total(Outcome::kExecuted), 10 * RequestMeter::kClaimScopesMax);
  meter.Count({.outcome = Outcome::kPassed, .route_scope = "orders"});
  const std::string counts = CountsOf(meter);
  EXPECT_NE(counts.find("orders passed=1\n"), std::string::npos) << counts;
  EXPECT_NE(counts.find("claimed_0 executed=1\n"), std::string::npos) << counts;
  EXPECT_NE(counts.find("~other executed=" + std::to_string(9 * RequestMeter::kClaimScopesMax) + "\n"),
            std::string::npos)
      << counts;
  for (size_t i = 0; i < 2 * RequestMeter::kScopesMax; ++i) meter.AddScope("route_" + std::to_string(i));
  EXPECT_EQ(meter.TotalsByScope().size(), RequestMeter::kScopesMax + 2);
}

TEST(RequestMeterTest, ProvidersAreBoundedToo) {
  const SystemClock clock;
  RequestMeter meter(clock);
  constexpr size_t kPairsMax = RequestMeter::kProvidersMax * static_cast<size_t>(SignatureReason::kCount);
  for (size_t i = 0; i < 2 * kPairsMax; ++i)
    meter.CountSignatureFailure("provider_" + std::to_string(i), SignatureReason::kMismatch);
  meter.CountSignatureFailure("provider_0", SignatureReason::kMismatch);
  const auto failures = meter.SignatureFailures();
  EXPECT_LE(failures.size(), kPairsMax + 1);
  EXPECT_EQ(failures.at({"provider_0", SignatureReason::kMismatch}), 2U);
  EXPECT_EQ(failures.at({std::string(RequestMeter::kOtherName), SignatureReason::kMismatch}), kPairsMax);
}

class RequestMeterInGatewayTest : public GatewayTest {};

TEST_F(RequestMeterInGatewayTest, EveryAnswerIsCountedOnceUnderTheScopeOfItsRoute) {
  Route route;
  route.scope = "orders";
  route.scope_header = "Authorization";
  Start(route);
  EXPECT_EQ(Verdict(Post("a", "Authorization: one\r\n").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("a", "Authorization: one\r\n").Get()), "200 replayed");
  EXPECT_EQ(Verdict(Post("a", "Authorization: two\r\n").Get()), "200 executed");
  EXPECT_EQ(Verdict(Post("a", "Authorization: two\r\n", "{\"other\":1}").Get()), "422 key-reused");
  EXPECT_EQ(Verdict(Post("b c").Get()), "400 invalid-key");
  EXPECT_EQ(Verdict(Send("POST", "").Get()), "200 unkeyed");
  EXPECT_EQ(Verdict(Send("GET", "").Get()), "200 passed");
  upstream_.Fail(ForwardEnd::kNotSent);
  EXPECT_EQ(Verdict(Post("d").Get()), "502 upstream-unreachable");
  upstream_.Fail(ForwardEnd::kTimedOut);
  EXPECT_EQ(Verdict(Post("d").Get()), "504 upstream-timeout");
  EXPECT_EQ(Verdict(Post("d").Get()), "409 outcome-unknown");
  gateway_->CountRefusal(http::ErrorCode::kHeadTooLarge, "192.0.2.7");
  EXPECT_EQ(CountsOf(gateway_->meter()),
            "orders executed=2 replayed=1 unkeyed=1 passed=1 invalid-key=1 outcome-unknown=1 key-reused=1 "
            "upstream-unreachable=1 upstream-timeout=1\n"
            "~none head-too-large=1\n");
  for (const oncegate::Outcome outcome :
       {oncegate::Outcome(oncegate::Outcome::kExecuted), oncegate::Outcome(http::ErrorCode::kKeyReused)}) {
    EXPECT_EQ(gateway_->meter().Durations(outcome).count(), gateway_->meter().Total(outcome)) << outcome.name();
  }
  EXPECT_EQ(gateway_->meter().UpstreamDurations().count(), 6U);
  EXPECT_GE(gateway_->meter().LookupDurations().count(), 7U);
}

TEST_F(RequestMeterInGatewayTest, ClaimsAreCountedOnceUnderTheScopeThatTheyName) {
  Start();
  const auto claim = [this](const std::string& scope, const std::string& key, const std::string& id) {
    ClaimRequest request{.key = ScopedKey(scope, key), .type = "order"};
    request.owner = ClaimOwner::kSidecar;
    request.ttl_ms = 60'000;
    request.lease_ms = 60'000;
    request.claim_id = id;
    return gateway_->sidecar().Claim(request, {}, 0);
  };
  const Result<ClaimResult> first = claim("jobs", "a", "one");
  ASSERT_TRUE(first.ok() && std::holds_alternative<Claimed>(*first));
  ASSERT_TRUE(claim("jobs", "a", "one").ok());  // the same claim, asked for once more
  ASSERT_TRUE(claim("jobs", "a", "two").ok());
  ASSERT_TRUE(gateway_->sidecar().Complete(std::get<Claimed>(*first).token, {.status = 200}).ok());
  ASSERT_TRUE(claim("jobs", "a", "three").ok());
  ASSERT_TRUE(claim(JoinedScope("jobs", "client"), "a", "four").ok());
  store_.fail_gets = true;
  ASSERT_FALSE(claim("jobs", "b", "five").ok());
  EXPECT_EQ(CountsOf(gateway_->meter()), "jobs executed=2 replayed=1 in-flight=1 store-unavailable=1\n");
}

}  // namespace
}  // namespace oncegate

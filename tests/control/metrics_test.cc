#include "control/metrics.h"

#include <gtest/gtest.h>

#include "control/latency_window.h"

namespace oncegate::control {
namespace {

TEST(MetricsWriterTest, WritesFamiliesAndEscapesLabels) {
  MetricsWriter metrics;
  metrics.Family("a_total", MetricsWriter::Kind::kCounter, "All of them.");
  metrics.Sample({{"scope", "a\"b\\c\nd"}, {"outcome", "executed"}}, uint64_t{18'446'744'073'709'551'615U});
  metrics.Gauge("b_seconds", "How long.", 0.25);
  EXPECT_EQ(metrics.Take(),
            "# HELP a_total All of them.\n"
            "# TYPE a_total counter\n"
            "a_total{scope=\"a\\\"b\\\\c\\nd\",outcome=\"executed\"} 18446744073709551615\n"
            "# HELP b_seconds How long.\n"
            "# TYPE b_seconds gauge\n"
            "b_seconds 0.25\n");
}

TEST(MetricsWriterTest, BucketsOfHistogramsAddUp) {
  DurationHistogram histogram;
  for (const int64_t us : {20, 30, 40, 200'000'000}) histogram.Add(us);
  MetricsWriter metrics;
  metrics.Family("d_seconds", MetricsWriter::Kind::kHistogram, "How long.");
  metrics.Histogram({{"outcome", "replayed"}}, histogram.Read());
  const std::string text = metrics.Take();
  for (const char* line : {
           "d_seconds_bucket{outcome=\"replayed\",le=\"2.5e-05\"} 1\n",
           "d_seconds_bucket{outcome=\"replayed\",le=\"5e-05\"} 3\n",
           "d_seconds_bucket{outcome=\"replayed\",le=\"120\"} 3\n",
           "d_seconds_bucket{outcome=\"replayed\",le=\"+Inf\"} 4\n",
           "d_seconds_sum{outcome=\"replayed\"} 200.00009\n",
           "d_seconds_count{outcome=\"replayed\"} 4\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(LatencyWindowTest, TellsOfTheLastMinute) {
  const SystemClock clock;
  RequestMeter meter(clock);
  const auto count = [&meter](int64_t us) {
    meter.Count({.outcome = Outcome::kReplayed, .route_scope = "default", .duration_us = us});
  };
  LatencyWindow window(0);
  count(80);
  LatencyWindow::Reading reading = window.Read(meter, 1'000);
  EXPECT_EQ(reading.window_ms, 1'000);
  EXPECT_EQ(reading.replayed.count(), 1U);
  EXPECT_EQ(reading.executed.count(), 0U);
  for (int64_t now_ms = 2'000; now_ms <= 60'000; now_ms += 1'000) window.Read(meter, now_ms);
  count(2'000);
  // By now the first one is more than a minute ago.
  reading = window.Read(meter, 66'000);
  EXPECT_GE(reading.window_ms, LatencyWindow::kWindowMs);
  EXPECT_LE(reading.window_ms, LatencyWindow::kWindowMs + LatencyWindow::kKeepEveryMs + 1'000);
  EXPECT_EQ(reading.replayed.count(), 1U);
  EXPECT_GT(*reading.replayed.QuantileUs(0.5), 1'000);
}

TEST(ProcessUsageTest, IsThatOfThisProcess) {
  const auto usage = ReadProcessUsage();
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->resident_bytes, 1'000'000U);
  EXPECT_GT(usage->virtual_bytes, usage->resident_bytes);
  EXPECT_GE(usage->open_fds, 3U);
  EXPECT_GE(usage->max_fds, usage->open_fds);
  EXPECT_GE(usage->threads, 1U);
  EXPECT_LT(usage->threads, 1000U);
}

}  // namespace
}  // namespace oncegate::control

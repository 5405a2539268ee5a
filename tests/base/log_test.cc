#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace oncegate {
namespace {

// What a logger writes to standard error while `body` runs.
template <typename Body>
std::string Logged(LogFormat format, LogLevel level, const Body& body) {
  testing::internal::CaptureStderr();
  {
    Logger logger(format, level);
    body(logger);
  }
  return testing::internal::GetCapturedStderr();
}

TEST(Logger, WritesTextForPeople) {
  const std::string text = Logged(LogFormat::kText, LogLevel::kInfo, [](Logger& logger) {
    logger.Log(LogLevel::kInfo, LogEvent::kCacheHit, "idempotency cache hit",
               {{"scope", "default"}, {"key", "evt 1"}, {"n", int64_t{7}}});
  });
  EXPECT_NE(text.find("Z info cache_hit idempotency cache hit scope=default key=\"evt 1\" n=7\n"), std::string::npos)
      << text;
}

TEST(Logger, WritesJsonForMachinesWhateverTheValues) {
  const std::string text = Logged(LogFormat::kJson, LogLevel::kInfo, [](Logger& logger) {
    logger.Log(LogLevel::kError, LogEvent::kError, "error in idempotency store", {{"reason", "\"\n\\ \xff"}});
  });
  EXPECT_NE(
      text.find(R"("level":"error","event":"error","message":"error in idempotency store","reason":"\"\n\\ \ufffd"})"),
      std::string::npos)
      << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(Logger, LeavesOutWhatIsBelowItsLevel) {
  const std::string text = Logged(LogFormat::kText, LogLevel::kWarn, [](Logger& logger) {
    logger.Log(LogLevel::kInfo, LogEvent::kKeyNew, "idempotency key is new");
    logger.Log(LogLevel::kDebug, LogEvent::kKeyNew, "idempotency key is new");
  });
  EXPECT_EQ(text, "");
}

TEST(Logger, HoldsAFloodDownAndCountsWhatItLeftOut) {
  constexpr int kLines = 5000;
  const std::string text = Logged(LogFormat::kText, LogLevel::kInfo, [](Logger& logger) {
    for (int i = 0; i < kLines; ++i) logger.Log(LogLevel::kInfo, LogEvent::kCacheHit, "idempotency cache hit");
    logger.Log(LogLevel::kInfo, LogEvent::kStarted, "started");
  });
  // The flood may straddle a second's end, hence twice the bound.
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 2 * Logger::kEventLinesPerSecondMax + 1);
  EXPECT_NE(text.find("started"), std::string::npos) << "one event's flood must not silence another";
}

}  // namespace
}  // namespace oncegate

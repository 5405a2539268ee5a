#include "base/units.h"

#include <gtest/gtest.h>

namespace oncegate {
namespace {

TEST(ParseDurationMs, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseDurationMs("500ms").value(), 500);
  EXPECT_EQ(ParseDurationMs("30s").value(), 30'000);
  EXPECT_EQ(ParseDurationMs("5m").value(), 300'000);
  EXPECT_EQ(ParseDurationMs("24h").value(), 86'400'000);
  EXPECT_EQ(ParseDurationMs("7d").value(), 604'800'000);
  EXPECT_EQ(ParseDurationMs("0s").value(), 0);
  for (const char* text : {"", "5", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5s ", " 5s", "5sec", "0x5s", "36501d",
                           "99999999999999999999s", "9223372036854775807h"})
    EXPECT_FALSE(ParseDurationMs(text).ok()) << "[" << text << "]";
}

TEST(ParseSizeBytes, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseSizeBytes("4096").value(), 4096);
  EXPECT_EQ(ParseSizeBytes("4096B").value(), 4096);
  EXPECT_EQ(ParseSizeBytes("64KiB").value(), 65'536);
  EXPECT_EQ(ParseSizeBytes("10MiB").value(), 10'485'760);
  EXPECT_EQ(ParseSizeBytes("2GiB").value(), 2'147'483'648);
  for (const char* text : {"", "KiB", "-1", "1kb", "1KB", "1K", "1.5MiB", "1 MiB", "9999999999GiB"})
    EXPECT_FALSE(ParseSizeBytes(text).ok()) << "[" << text << "]";
}

int64_t RfcMs(std::string_view text) {
  const Result<int64_t> ms = ParseRfc3339Ms(text);
  return ms.ok() ? *ms : -1;
}

TEST(ParseRfc3339Ms, ReadsMomentsAsProgramsAndDatabasesWriteThem) {
  constexpr int64_t kMs = 1'795'470'239'123;
  for (const char* text : {"2026-11-23T21:43:59.123Z", "2026-11-23t21:43:59.123z", "2026-11-23 21:43:59.123",
                           "2026-11-23T21:43:59.123456Z", "2026-11-23T22:43:59.123+01:00", "2026-11-23 22:43:59.123+01",
                           "2026-11-23T16:13:59.123-0530"})
    EXPECT_EQ(RfcMs(text), kMs) << text;
  EXPECT_EQ(RfcMs("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(RfcMs("2024-02-29T00:00:00.5Z"), 1'709'164'800'500);
  for (const char* text :
       {"", "2026-11-23", "2026-11-23T21:43Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-23T24:00:00Z",
        "2026-11-23T21:60:00Z", "1969-12-31T23:59:59Z", "2026-11-23T21:43:59.Z", "2026-11-23T21:43:59Zx",
        "2026-11-23T21:43:59+1", "-026-11-23T21:43:59Z", "26-11-23T21:43:59Z"})
    EXPECT_FALSE(ParseRfc3339Ms(text).ok()) << "[" << text << "]";
}

TEST(Format, WritesWhatTheParsersRead) {
  for (const char* text : {"0s", "1ms", "1500ms", "90s", "5m", "24h", "25h", "7d"}) {
    const int64_t ms = ParseDurationMs(text).value();
    EXPECT_EQ(ParseDurationMs(FormatDurationMs(ms)).value(), ms) << text;
  }
  EXPECT_EQ(FormatDurationMs(90'000), "90s");
  EXPECT_EQ(FormatSizeBytes(10'485'760), "10MiB");
  EXPECT_EQ(FormatSizeBytes(0), "0B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(17), "17 B");
}

TEST(FormatRfc3339, IsUtcWithMilliseconds) {
  EXPECT_EQ(FormatRfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatRfc3339(1'795'470'239'123), "2026-11-23T21:43:59.123Z");
  EXPECT_EQ(FormatRfc3339(-5), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace oncegate

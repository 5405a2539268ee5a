#include "http/body.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/http/rows.h"

namespace oncegate::http {
namespace {

struct BodyRow {
  std::string_view stream;
  std::string_view verdict;  // "BODY+REST", "error" or "more"
};

constexpr BodyRow kChunked[] = {
    {"5|hello|0||", "hello+"},
    {"5|hello|0||GET", "hello+GET"},
    {"0||", "+"},
    {"5|hello|6| world|0||", "hello world+"},
    {"a|0123456789|0||", "0123456789+"},
    {"A|0123456789|0||", "0123456789+"},
    {"05|hello|00||", "hello+"},
    {"0000000000000005|hello|0||", "hello+"},
    {"00000000000000005|hello|0||", "error"},
    {"2|<0d><0a>|0||", "\r\n+"},
    {"5;a=b|hello|0;c||", "hello+"},
    {"5;a=<22>b c<22>|hello|0||", "hello+"},
    {"5;<09><80>|hello|0||", "hello+"},
    {"5 |hello|0||", "error"},
    {"5 ;a|hello|0||", "error"},
    {" 5|hello|0||", "error"},
    {"<09>5|hello|0||", "error"},
    {"+5|hello|0||", "error"},
    {"-5|hello|0||", "error"},
    {"-1|", "error"},
    {"0x5|hello|0||", "error"},
    {"5h|hello|0||", "error"},
    {"g|", "error"},
    {"|", "error"},
    {";a|", "error"},
    {"5,5|hello|0||", "error"},
    {"5.|hello|0||", "error"},
    {"5_0|", "error"},
    {"5<00>|hello|0||", "error"},
    {"5;<00>|hello|0||", "error"},
    {"5;a<0a>hello|0||", "error"},
    {"5;a<0d>b|hello|0||", "error"},
    {"5<0a>hello<0a>0<0a><0a>", "error"},
    {"5<0d>hello|0||", "error"},
    {"5|hello<0a>0||", "error"},
    {"5|hello<0d>0||", "error"},
    {"5|hello0||", "error"},
    {"5|helloo|0||", "error"},
    {"5|hell|0||", "error"},
    {"10000000000000000|", "error"},
    {"ffffffffffffffff|x", "more"},
    {"5|hello|", "more"},
    {"5|hello|0|", "more"},
    {"5|hello|0|<0d>", "more"},
    {"5|hel", "more"},
    {"5|hello|0|<0a>", "error"},
    {"5|hello|0|<0d>x", "error"},
    {"0|X: y||rest", "+rest"},
    {"0|X: y|Z:||", "+"},
    {"0|Content-Length: 5||", "+"},
    {"0|X: <80>||", "+"},
    {"0|: y||", "error"},
    {"0|X y||", "error"},
    {"0|X : y||", "error"},
    {"0|X||", "error"},
    {"0|X: a| b||", "error"},
    {"0| X: a||", "error"},
    {"0|X: <00>||", "error"},
    {"0|X: a<0a>||", "error"},
    {"0|X: a<0d>b||", "error"},
};

std::string BodyVerdict(std::string_view stream, size_t step, BodyReader reader = BodyReader(Framing::kChunked, 0)) {
  std::string body;
  std::string_view rest = stream;
  size_t offered = 0;
  while (true) {
    offered = std::min(offered + step, rest.size());
    size_t used = 0;
    const ParseState state = reader.Read(rest.substr(0, offered), &used, &body);
    EXPECT_LE(used, offered) << stream;
    if (state == ParseState::kError) return "error";
    const bool all_offered = offered == rest.size();
    rest.remove_prefix(used);
    offered -= used;
    if (state == ParseState::kDone) {
      EXPECT_EQ(reader.delivered(), body.size()) << stream;
      return body + "+" + std::string(rest);
    }
    if (all_offered) return "more";
  }
}

TEST(BodyReader, ChunkedTableGivesTheSameVerdictForEverySplit) {
  for (const BodyRow& row : kChunked) {
    const std::string stream = Bytes(row.stream);
    for (size_t step = 1; step <= stream.size(); ++step) {
      EXPECT_EQ(BodyVerdict(stream, step), row.verdict) << row.stream << " in steps of " << step;
    }
  }
}

TEST(BodyReader, ErrorsAreBadRequestsAndFinal) {
  BodyReader reader(Framing::kChunked, 0);
  std::string body;
  size_t used = 0;
  EXPECT_EQ(reader.Read("x\r\n", &used, &body), ParseState::kError);
  EXPECT_EQ(reader.error().code, ErrorCode::kBadRequest);
  EXPECT_FALSE(reader.error().detail.empty());
  EXPECT_EQ(reader.Read("0\r\n\r\n", &used, &body), ParseState::kError);
  EXPECT_FALSE(reader.FinishAtClose());
}

TEST(BodyReader, LongSizeLinesAndTrailersAreRefused) {
  const std::string fits = "0;" + std::string(BodyReader::kChunkLineBytesMax - 4, 'x') + "\r\n\r\n";
  EXPECT_EQ(BodyVerdict(fits, fits.size()), "+");
  EXPECT_EQ(BodyVerdict("0;x" + fits.substr(2), fits.size()), "error");
  EXPECT_EQ(BodyVerdict("0;" + std::string(BodyReader::kChunkLineBytesMax, 'x'), 100), "error");
  EXPECT_EQ(BodyVerdict("0\r\nX:" + std::string(BodyReader::kTrailerBytesMax, 'x'), 100), "error");
  EXPECT_EQ(BodyVerdict("0\r\n" + Repeat("X:\r\n", kFieldsMax) + "\r\n", 100), "+");
  EXPECT_EQ(BodyVerdict("0\r\n" + Repeat("X:\r\n", kFieldsMax + 1) + "\r\n", 100), "error");
}

TEST(BodyReader, CountedBodiesEndByTheirLength) {
  for (size_t step = 1; step <= 8; ++step) {
    EXPECT_EQ(BodyVerdict("hellorest", step, BodyReader(Framing::kContentLength, 5)).substr(0, 6), "hello+") << step;
  }
  EXPECT_EQ(BodyVerdict("hell", 4, BodyReader(Framing::kContentLength, 5)), "more");
  BodyReader cut_off(Framing::kContentLength, 5);
  EXPECT_FALSE(cut_off.done());
  EXPECT_FALSE(cut_off.FinishAtClose());
}

TEST(BodyReader, NoBodyAndZeroLengthAreDoneAtOnce) {
  EXPECT_TRUE(BodyReader().done());
  EXPECT_TRUE(BodyReader(Framing::kContentLength, 0).done());
  EXPECT_EQ(BodyVerdict("rest", 4, BodyReader()), "+rest");
  EXPECT_TRUE(BodyReader().FinishAtClose());
}

TEST(BodyReader, UntilCloseEndsAtClose) {
  BodyReader reader(Framing::kUntilClose, 0);
  std::string body;
  size_t used = 0;
  EXPECT_EQ(reader.Read("abc", &used, &body), ParseState::kNeedMore);
  EXPECT_EQ(used, 3u);
  EXPECT_FALSE(reader.done());
  EXPECT_TRUE(reader.FinishAtClose());
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(body, "abc");
}

TEST(BodyReader, RandomStreamsNeverCrashAndNeverDependOnTheSplit) {
  std::mt19937 random(99);
  constexpr std::string_view kAlphabet = "0123af;\r\n\r\n: xX\t";
  for (int round = 0; round < 5000; ++round) {
    std::string stream = random() % 2 == 0 ? "3\r\nabc\r\n" : "";
    const size_t size = random() % 40;
    for (size_t i = 0; i < size; ++i) stream += kAlphabet[random() % kAlphabet.size()];
    if (stream.empty()) continue;
    EXPECT_EQ(BodyVerdict(stream, 1), BodyVerdict(stream, stream.size())) << testing::PrintToString(stream);
  }
}

}  // namespace
}  // namespace oncegate::http

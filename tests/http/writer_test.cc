#include "http/writer.h"

#include <gtest/gtest.h>

#include <string>

#include "http/body.h"

namespace oncegate::http {
namespace {

TEST(Writer, FieldsAndStatusLines) {
  std::string out;
  AppendStatusLine(200, "", &out);
  AppendStatusLine(200, "Fine", &out);
  AppendStatusLine(599, "", &out);
  AppendField("A", "b c", &out);
  AppendField("Content-Length", uint64_t{18446744073709551615u}, &out);
  EXPECT_EQ(out,
            "HTTP/1.1 200 OK\r\nHTTP/1.1 200 Fine\r\nHTTP/1.1 599 \r\nA: b c\r\n"
            "Content-Length: 18446744073709551615\r\n");
}

TEST(Writer, ChunksReadBack) {
  std::string out;
  AppendChunk("", &out);
  AppendChunk("hello", &out);
  AppendChunk(std::string(300, 'x'), &out);
  AppendLastChunk(&out);
  EXPECT_EQ(out.substr(0, 15), "5\r\nhello\r\n12c\r\n");
  BodyReader reader(Framing::kChunked, 0);
  std::string body;
  size_t used = 0;
  EXPECT_EQ(reader.Read(out, &used, &body), ParseState::kDone);
  EXPECT_EQ(used, out.size());
  EXPECT_EQ(body, "hello" + std::string(300, 'x'));
}

TEST(Writer, StandardReasons) {
  EXPECT_EQ(StandardReason(100), "Continue");
  EXPECT_EQ(StandardReason(418), "");
  EXPECT_EQ(StandardReason(422), "Unprocessable Content");
  EXPECT_EQ(StandardReason(511), "Network Authentication Required");
  EXPECT_EQ(StandardReason(599), "");
  EXPECT_EQ(StandardReason(0), "");
}

TEST(Writer, StatusesWithoutBody) {
  for (const int status : {100, 103, 199, 204, 304}) EXPECT_TRUE(StatusHasNoBody(status)) << status;
  for (const int status : {200, 205, 303, 400, 500}) EXPECT_FALSE(StatusHasNoBody(status)) << status;
}

TEST(Writer, HttpDates) {
  EXPECT_EQ(FormatHttpDate(784111777000), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatHttpDate(1795470239999), "Mon, 23 Nov 2026 21:43:59 GMT");
  EXPECT_EQ(FormatHttpDate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(FormatHttpDate(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
}

}  // namespace
}  // namespace oncegate::http

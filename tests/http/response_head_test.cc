#include <gtest/gtest.h>

#include <random>
#include <string>

#include "http/head.h"
#include "tests/http/rows.h"

namespace oncegate::http {
namespace {

struct ResponseHeadRow {
  std::string_view method;
  std::string_view response;
  std::string_view verdict;  // "STATUS [REASON] BODY PERSISTENCE", an error's name, or "more"
};

constexpr std::string_view kBroken = "upstream-broken";

constexpr ResponseHeadRow kResponseHeadRows[] = {
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2||hi", "200 [OK] length=2 keep"},
    {"GET", "HTTP/1.1 200 |Content-Length: 2||", "200 [] length=2 keep"},
    {"GET", "HTTP/1.1 200|Content-Length: 2||", "200 [] length=2 keep"},
    {"GET", "HTTP/1.1 200 A b<09>c <ff>|Content-Length: 0||", "200 [A b\tc \xff] none keep"},
    {"GET", "HTTP/1.1 100 Continue||", "100 [Continue] none keep"},
    {"GET", "HTTP/1.1 103|Link: x||", "103 [] none keep"},
    {"GET", "HTTP/1.1 100|Content-Length: 5||", "100 [] none close"},
    {"GET", "HTTP/1.1 599 x|Content-Length: 1||", "599 [x] length=1 keep"},
    {"GET", "HTTP/1.1 600 x||", kBroken},
    {"GET", "HTTP/1.1 099 x||", kBroken},
    {"GET", "HTTP/1.1 20 x||", kBroken},
    {"GET", "HTTP/1.1 2000 x||", kBroken},
    {"GET", "HTTP/1.1 200x||", kBroken},
    {"GET", "HTTP/1.1 +20 x||", kBroken},
    {"GET", "HTTP/1.1  200 x||", kBroken},
    {"GET", "HTTP/1.1|X: y||", kBroken},
    {"GET", "HTTP/1.1 |X: y||", kBroken},
    {"GET", "HTTP/1.2 200 OK||", kBroken},
    {"GET", "HTTP/2 200||", kBroken},
    {"GET", "http/1.1 200 OK||", kBroken},
    {"GET", "ICY 200 OK||", kBroken},
    {"GET", "|HTTP/1.1 200 OK||", kBroken},
    {"GET", "SSH-2.0-OpenSSH_9.2|", kBroken},
    {"GET", "<!DOCTYPE html>|", kBroken},
    {"GET", "HTTP/1.1 200 O<00>K||", kBroken},
    {"GET", "HTTP/1.1 200 O<0d>K||", kBroken},
    {"GET", "HTTP/1.1 200 OK<0a>X: y||", kBroken},
    {"GET", "HTTP/1.1 200 OK|X : y||", kBroken},
    {"GET", "HTTP/1.1 200 OK|X: y| z||", kBroken},
    {"GET", "HTTP/1.1 200 OK|: y||", kBroken},
    {"GET", "HTTP/1.1 200 OK|X: <7f>||", kBroken},
    {"GET", "HTTP/1.1 200 OK|no colon||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 2||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 3||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2, 2||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: -2||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length:||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 99999999999999999999||", kBroken},
    {"HEAD", "HTTP/1.1 200 OK|Content-Length: x||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||", "200 [OK] chunked keep"},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: CHUNKED||", "200 [OK] chunked keep"},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: gzip, chunked||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: identity||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Content-Length: 2||", kBroken},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2|Transfer-Encoding: chunked||", kBroken},
    {"GET", "HTTP/1.0 200 OK|Transfer-Encoding: chunked||", kBroken},
    {"GET", "HTTP/1.1 200 OK||", "200 [OK] until-close close"},
    {"GET", "HTTP/1.1 200 OK|Connection: keep-alive||", "200 [OK] until-close close"},
    {"GET", "HTTP/1.1 204 No Content||", "204 [No Content] none keep"},
    {"GET", "HTTP/1.1 304 Not Modified|Content-Length: 9||", "304 [Not Modified] none keep"},
    {"GET", "HTTP/1.1 204|Content-Length: 0||", "204 [] none keep"},
    {"GET", "HTTP/1.1 204|Content-Length: 9||", "204 [] none close"},
    {"GET", "HTTP/1.1 204|Transfer-Encoding: chunked||", "204 [] none close"},
    {"HEAD", "HTTP/1.1 200 OK|Content-Length: 9||", "200 [OK] none keep"},
    {"HEAD", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||", "200 [OK] none keep"},
    {"HEAD", "HTTP/1.1 200 OK||", "200 [OK] none keep"},
    {"head", "HTTP/1.1 200 OK|Content-Length: 9||", "200 [OK] length=9 keep"},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 1|Connection: Close||", "200 [OK] length=1 close"},
    {"GET", "HTTP/1.0 200 OK|Content-Length: 1||", "200 [OK] length=1 close"},
    {"GET", "HTTP/1.0 200 OK|Content-Length: 1|Connection: keep-alive||", "200 [OK] length=1 keep"},
    {"GET", "HTTP/1.1 101 Switching Protocols|Upgrade: x||", "101 [Switching Protocols] none keep"},
    {"GET", "HTTP/1.1 200 OK|Host: <22>|Expect: what|Content-Length: 1||", "200 [OK] length=1 keep"},
    {"GET", "HTTP/1.1 200 OK|Content-Length: 2|", "more"},
    {"GET", "", "more"},
};

std::string ResponseVerdict(std::string_view method, std::string_view response, size_t step) {
  HeadParser parser;
  ResponseHead head;
  ParseState state = ParseState::kNeedMore;
  for (size_t size = 0; size < response.size() && state == ParseState::kNeedMore; size += step) {
    state = parser.ParseResponse(response.substr(0, size), method, &head);
  }
  if (state == ParseState::kNeedMore) state = parser.ParseResponse(response, method, &head);
  if (state == ParseState::kError) return std::string(ErrorName(parser.error().code));
  if (state == ParseState::kNeedMore) return "more";
  std::string text = std::to_string(head.status) + " [" + head.reason + "] ";
  switch (head.framing) {
    case Framing::kNone:
      text += "none";
      break;
    case Framing::kContentLength:
      text += "length=" + std::to_string(head.content_length);
      break;
    case Framing::kChunked:
      text += "chunked";
      break;
    case Framing::kUntilClose:
      text += "until-close";
      break;
  }
  return text + (head.keep_alive ? " keep" : " close");
}

TEST(ResponseHead, TableGivesTheSameVerdictForEverySplit) {
  for (const ResponseHeadRow& row : kResponseHeadRows) {
    const std::string response = Bytes(row.response);
    EXPECT_EQ(ResponseVerdict(row.method, response, response.size() + 1), row.verdict) << row.response;
    for (const size_t step : {1U, 2U, 3U, 7U, 16U}) {
      EXPECT_EQ(ResponseVerdict(row.method, response, step), row.verdict) << row.response << " in steps of " << step;
    }
  }
}

TEST(ResponseHead, HeadAndLengthOfAHeadAnswerAreKept) {
  HeadParser parser;
  ResponseHead head;
  ASSERT_EQ(parser.ParseResponse(Bytes("HTTP/1.1 200 OK|Content-Length: 9||"), "HEAD", &head), ParseState::kDone);
  EXPECT_EQ(head.framing, Framing::kNone);
  EXPECT_EQ(head.content_length, 9u);
  EXPECT_EQ(head.fields.Find("content-length"), "9");
}

TEST(ResponseHead, LimitsAreWiderThanThoseOfRequests) {
  const std::string start = "HTTP/1.1 204 x\r\n";
  const auto verdict = [](const std::string& response) {
    return ResponseVerdict("GET", response, response.size() + 1);
  };
  EXPECT_EQ(verdict(start + Repeat("X: y\r\n", kResponseFieldsMax) + "\r\n"), "204 [x] none keep");
  EXPECT_EQ(verdict(start + Repeat("X: y\r\n", kResponseFieldsMax + 1) + "\r\n"), kBroken);
  const std::string filler(kResponseHeadBytesMax - start.size() - 7, 'x');
  EXPECT_EQ(verdict(start + "X: " + filler + "\r\n\r\n"), "204 [x] none keep");
  EXPECT_EQ(verdict(start + "X: x" + filler + "\r\n\r\n"), kBroken);
  EXPECT_EQ(verdict(start + Repeat("x", kResponseHeadBytesMax)), kBroken);
}

TEST(ResponseHead, RandomBytesNeverCrash) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string response = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
    for (size_t i = random() % 4; i > 0; --i) response[random() % response.size()] = static_cast<char>(random() % 256);
    EXPECT_EQ(ResponseVerdict("GET", response, 1), ResponseVerdict("GET", response, 1000))
        << testing::PrintToString(response);
  }
}

}  // namespace
}  // namespace oncegate::http

// Who a client is, how much it may ask, and what is done with clients that do not behave.

#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ingress/connection.h"
#include "tests/http/rows.h"
#include "tests/ingress/ingress_fixture.h"

namespace oncegate {
namespace {

using testing::HasSubstr;
using testing::Not;

class LimitsTest : public IngressFixture {
 protected:
  // Time stands still, so that no token comes back because a machine is slow.
  LimitsTest() { ingress_clock_ = &time_; }
  static AddressRanges Ourselves() { return {*AddressRange::Parse("127.0.0.0/8")}; }
  static std::string From(const std::string& address) { return "X-Forwarded-For: " + address + "\r\n"; }
};

TEST_F(LimitsTest, TooManyRequestsAreRefusedOnAConnectionThatGoesOn) {
  Listen({.rate_limit = {.per_second = 1, .burst = 2}});
  RawClient client = Connect();
  client.Send(PostOf("a") + PostOf("a") + PostOf("a") + "GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  EXPECT_EQ(client.Receive().Verdict(), "200 replayed");
  const RawAnswer refused = client.Receive();
  EXPECT_EQ(refused.Verdict(), "429 rate-limited");
  EXPECT_EQ(refused.Field("Retry-After"), "1");
  EXPECT_EQ(refused.Field("Content-Type"), "application/problem+json");
  EXPECT_EQ(refused.Field("Connection"), "");
  EXPECT_EQ(client.Receive().Verdict(), "429 rate-limited") << "whatever the method";
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "429 rate-limited") << "on a new connection, too";
  EXPECT_EQ(gateway_->meter().Total(http::ErrorCode::kRateLimited), 3U);
  time_.Advance(1000);
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(LimitsTest, ABodyBeyondTheRateIsNotWaitedFor) {
  Listen({.rate_limit = {.per_second = 1, .burst = 1}});
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed");
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n";
  for (const char* rest : {"\r\n", "Expect: 100-continue\r\n\r\n", "\r\nab"}) {
    RawClient client = Connect();
    client.Send(head + rest);
    const RawAnswer answer = client.Receive();
    EXPECT_EQ(answer.Verdict(), "429 rate-limited") << rest;
    EXPECT_EQ(answer.Field("Connection"), "close") << rest;
    EXPECT_TRUE(client.AtEnd()) << rest;
  }
  EXPECT_EQ(memory_.used(), 0);
}

TEST_F(LimitsTest, ClientsBehindATrustedProxyAreToldApart) {
  Listen({.rate_limit = {.per_second = 1, .burst = 1}, .trusted_proxies = Ourselves()});
  RawClient proxy = Connect();
  const struct {
    const char* client;
    const char* verdict;
  } rows[] = {
      {"192.0.2.7", "200 executed"},     {"192.0.2.8", "200 replayed"},
      {"192.0.2.7", "429 rate-limited"}, {"192.0.2.9, 192.0.2.8", "429 rate-limited"},
      {"2001:db8::1", "200 replayed"},   {"2001:db8::2", "429 rate-limited"},
  };
  for (const auto& row : rows) {
    proxy.Send(PostOf("a", "{}", From(row.client)));
    EXPECT_EQ(proxy.Receive().Verdict(), row.verdict) << row.client;
  }
}

TEST_F(LimitsTest, AStrangersWordOnWhereItComesFromIsReplaced) {
  Listen({.rate_limit = {.per_second = 1, .burst = 1}});
  EXPECT_EQ(
      Ask(PostOf("a", "{}", From("192.0.2.7") + "X-Forwarded-Proto: https\r\nFORWARDED: for=192.0.2.7;proto=https\r\n"))
          .status,
      200);
  const std::string head = upstream_.heads().back();
  EXPECT_THAT(head, HasSubstr("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("192.0.2.7")));
  EXPECT_EQ(Ask(PostOf("a", "{}", From("192.0.2.8"))).status, 429) << "it is still the same client";
}

TEST_F(LimitsTest, ATrustedProxysWordIsPassedOnAndAddedTo) {
  Listen({.trusted_proxies = Ourselves()});
  const struct {
    std::string fields;
    const char* forwarded;
    const char* source;
  } rows[] = {
      {"", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n", "127.0.0.1"},
      {From("192.0.2.7"), "X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n", "192.0.2.7"},
      {From("6.6.6.6, 192.0.2.7") + "X-Forwarded-Proto: https\r\n",
       "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7"},
      {From("6.6.6.6") + From("192.0.2.7") + "X-Forwarded-Proto: gopher\r\n",
       "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n", "192.0.2.7"},
      {From("192.0.2.7, 127.0.0.1") + "X-Forwarded-Proto: https, http\r\n",
       "X-Forwarded-For: 192.0.2.7, 127.0.0.1, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7"},
      {"Forwarded: for=192.0.2.7\r\n",
       "Forwarded: for=192.0.2.7\r\nContent-Length: 2\r\nX-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n"
       "X-Forwarded-Proto: http\r\n",
       "192.0.2.7"},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    const std::string key = "k" + std::to_string(i);
    EXPECT_EQ(Ask(PostOf(key, "{}", rows[i].fields)).Verdict(), "200 executed") << rows[i].fields;
    EXPECT_THAT(upstream_.heads().back(), HasSubstr(std::string("\r\n") + rows[i].forwarded)) << rows[i].fields;
    const auto record = store_.Get(ScopedKey("default", key), RecordParts::kAll);
    ASSERT_TRUE(record.ok() && record->has_value()) << key;
    EXPECT_EQ((**record).source_ip, rows[i].source) << rows[i].fields;
  }
}

TEST_F(LimitsTest, AClientThatDoesNotReadIsCutOffAndCostsNoMoreThanItsBound) {
  Listen({.loops = 1});
  upstream_.Answer(200, std::string(100'000, 'x'));
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed");
  RawClient sleeper = Connect();
  std::string burst;
  for (int i = 0; i < 500; ++i) burst += PostOf("a");
  sleeper.Send(burst);
  while (memory_.used() == 0) std::this_thread::yield();  // the kernel takes no more for it
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 replayed") << "while the other sleeps";
  EXPECT_LT(memory_.used(), 1 << 20) << "of 50 MB that it asked for";
  time_.Advance(kWriteStallMs);
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 replayed") << "which also wakes the loop";
  while (ingress_->connections() > 0) std::this_thread::yield();
  EXPECT_EQ(memory_.used(), 0);
}

// The table of tests/http, through a real socket: what is taken is answered in order, what is not is refused at its
// end.
// A body's memory is given back to the budget with its request, so that nothing large may stay with the connection, or
// go to another that then sends nothing.
TEST(ReadingTest, WhatOneRequestTookIsNotKeptForTheNext) {
  Reading reading;
  reading.body.assign(1 << 20, 'b');
  reading.Restart();
  EXPECT_TRUE(reading.body.empty());
  EXPECT_LE(reading.body.capacity(), kKeptBytesMax);
}

TEST_F(LimitsTest, EveryRawStreamIsAnsweredAsItsVerdictSays) {
  Listen();
  upstream_.Answer(200, "");
  for (const http::RawRequestRow& row : http::ReadRawRequests(RAW_REQUESTS_FILE)) {
    RawClient client = Connect();
    client.Send(row.stream);
    client.CloseSending();
    for (std::string rest = row.verdict; !rest.empty();) {
      const size_t end = std::min(rest.find(" + "), rest.size());
      const std::string what = rest.substr(0, end);
      rest.erase(0, std::min(end + 3, rest.size()));
      if (what.starts_with("close") || what.starts_with("nothing")) continue;
      const RawAnswer answer = client.Receive(what.starts_with("HEAD "));
      if (what.starts_with("more")) {
        // A length beyond the limit is refused before the body is missed.
        EXPECT_THAT(answer.status, testing::AnyOf(0, 100, 413)) << "line " << row.line;
      } else {
        const std::string wanted = what.size() == 3 ? what : "200";
        EXPECT_EQ(std::to_string(answer.status), wanted) << "line " << row.line << ": " << what;
      }
    }
    EXPECT_TRUE(client.AtEnd()) << "line " << row.line;
  }
}

}  // namespace
}  // namespace oncegate

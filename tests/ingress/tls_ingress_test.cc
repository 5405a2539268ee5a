// What only TLS has; what holds either way is in ingress_test.cc.

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/ingress/ingress_fixture.h"

namespace oncegate {
namespace {

using TlsIngressTest = IngressFixture;

TlsClient::Options Noting(std::string* certificate, bool* resumed, bool resume) {
  TlsClient::Options options;
  options.certificate = certificate;
  options.resumed = resumed;
  options.resume = resume;
  return options;
}

TEST_F(TlsIngressTest, SaysHttpsAndTellsTheApplication) {
  ListenWithTls();
  EXPECT_THAT(ingress_->addresses().at(0), testing::StartsWith("https://127.0.0.1:"));
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed");
  EXPECT_THAT(upstream_.heads().back(), testing::HasSubstr("\r\nX-Forwarded-Proto: https\r\n"));
}

TEST_F(TlsIngressTest, OldProtocolsAndForeignOnesAreRefused) {
  ListenWithTls();
  TlsClient::Options old;
  old.version_max = 0x0302;  // TLS 1.1
  EXPECT_FALSE(RawClient(port_, certificates_->client().With(old)).connected());
  old.version_max = 0x0303;
  EXPECT_TRUE(RawClient(port_, certificates_->client().With(old)).connected());
  std::string chosen;
  TlsClient::Options alpn;
  alpn.chosen_alpn = &chosen;
  alpn.alpn = "h2";
  EXPECT_FALSE(RawClient(port_, certificates_->client().With(alpn)).connected());
  alpn.alpn = "http/1.1";
  EXPECT_TRUE(RawClient(port_, certificates_->client().With(alpn)).connected());
  EXPECT_EQ(chosen, "http/1.1");
}

TEST_F(TlsIngressTest, SessionsAreResumedWithBothVersions) {
  ListenWithTls();
  for (const int version : {0x0303, 0x0304}) {
    for (const bool again : {false, true}) {
      bool resumed = false;
      TlsClient::Options options = Noting(nullptr, &resumed, again);
      options.version_max = version;
      RawClient client(port_, certificates_->client().With(options));
      client.Send(PostOf("a"));
      EXPECT_EQ(client.Receive().status, 200);  // in TLS 1.3 the ticket comes with it
      EXPECT_EQ(resumed, again) << version;
    }
  }
}

TEST_F(TlsIngressTest, ANewCertificateIsForNewConnections) {
  ListenWithTls();
  std::string name;
  bool resumed = false;
  RawClient old(port_, certificates_->client().With(Noting(&name, &resumed, false)));
  old.Send(PostOf("a"));
  EXPECT_EQ(old.Receive().Verdict(), "200 executed");
  EXPECT_EQ(name, "first");
  certificates_->Renew("second");
  ingress_->SetTls(LoadTls());
  old.Send(PostOf("a"));
  EXPECT_EQ(old.Receive().Verdict(), "200 replayed") << "on the connection that was open";
  RawClient fresh(port_, certificates_->client().With(Noting(&name, &resumed, true)));
  fresh.Send(PostOf("a"));
  EXPECT_EQ(fresh.Receive().Verdict(), "200 replayed");
  EXPECT_EQ(name, "second");
  EXPECT_FALSE(resumed) << "a session of the old certificate is not carried over";
}

TEST_F(TlsIngressTest, PlainTextIsToldWhereItIs) {
  ListenWithTls();
  RawClient client(port_);
  client.Send(PostOf("a"));
  const RawAnswer answer = client.Receive();
  EXPECT_EQ(answer.Verdict(), "400 bad-request");
  EXPECT_THAT(answer.body, testing::HasSubstr("This port speaks HTTPS"));
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(upstream_.executions(), 0U);
}

TEST_F(TlsIngressTest, HandshakesThatStallOrMakeNoSenseEnd) {
  ListenWithTls({.request_timeout_ms = 30});
  RawClient silent(port_);
  RawClient stalled(port_);
  stalled.Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(stalled.AtEnd());
  RawClient garbage(port_);
  garbage.Send(std::string(200, '\xff'));
  while (ingress_->connections() > 0) std::this_thread::yield();
  EXPECT_EQ(Ask(PostOf("a")).status, 200);
}

TEST_F(TlsIngressTest, ManyHandshakesAtOnceAreAllMade) {
  ListenWithTls({.loops = 1});
  constexpr int kClients = 64;
  std::vector<std::thread> clients;
  std::atomic<int> served{0};
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      if (Ask(PostOf("a")).status == 200) ++served;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(served, kClients);
}

TEST_F(TlsIngressTest, TheOldestOfTooManyHandshakesGivesWay) {
  constexpr size_t kHandshakesMax = 512;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ingress_clock_ = &time_;  // nothing ends by its deadline
  ListenWithTls({.loops = 1, .max_connections = 2 * kHandshakesMax});
  RawClient established = Connect();
  ASSERT_TRUE(established.connected());
  std::vector<RawClient> silent;
  for (size_t i = 0; i < kHandshakesMax; ++i) silent.emplace_back(port_);
  while (ingress_->connections() < kHandshakesMax + 1) std::this_thread::yield();
  EXPECT_EQ(Ask(PostOf("a")).status, 200);
  EXPECT_TRUE(silent.front().AtEnd());
  silent.back().Send("GET / HTTP/1.1\r\n");
  EXPECT_EQ(silent.back().Receive().status, 400) << "the others are still there";
  established.Send(PostOf("a"));
  EXPECT_EQ(established.Receive().status, 200);
}

TEST_F(TlsIngressTest, BeyondTheLimitThereIsNoHandshake) {
  ListenWithTls({.max_connections = 1});
  const RawClient first = Connect();
  ASSERT_TRUE(first.connected());
  EXPECT_FALSE(Connect().connected());
  EXPECT_EQ(gateway_->meter().Total(http::ErrorCode::kOverloaded), 1U);
}

TEST_F(TlsIngressTest, AClientThatStopsSendingWithoutAFarewellGetsWhatItIsOwed) {
  ListenWithTls();
  RawClient client = Connect();
  client.Send(PostOf("a", "{}", "X-Hold: yes\r\n") + PostOf("b"));
  upstream_.AwaitRequests(1);
  ASSERT_EQ(shutdown(client.fd(), SHUT_WR), 0);
  upstream_.OpenGate();
  for (const char* key : {"a", "b"}) EXPECT_EQ(client.Receive().Verdict(), "200 executed") << key;
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(TlsIngressTest, EveryOrderlyEndIsSaid) {
  ingress_clock_ = &time_;
  ListenWithTls({.loops = 1, .idle_timeout_ms = 1000});
  RawClient idle = Connect();
  idle.Send(PostOf("a"));
  EXPECT_EQ(idle.Receive().status, 200);
  time_.Advance(1000);
  RawClient leaving = Connect();  // wakes the loop
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_TRUE(idle.ended_in_order());
  leaving.CloseSending();
  EXPECT_TRUE(leaving.AtEnd());
  EXPECT_TRUE(leaving.ended_in_order());
  RawClient answered = Connect();
  answered.Send(PostOf("a"));
  answered.CloseSending();
  EXPECT_EQ(answered.Receive().status, 200);
  EXPECT_TRUE(answered.AtEnd());
  EXPECT_TRUE(answered.ended_in_order());
}

TEST_F(TlsIngressTest, StoppingIsSaidToWhoIsIdle) {
  ListenWithTls();
  RawClient client = Connect();
  client.Send(PostOf("a"));
  EXPECT_EQ(client.Receive().status, 200);
  ingress_->StopAccepting();
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(client.ended_in_order());
}

TEST_F(TlsIngressTest, SmallAnswersShareRecordsAndArriveInOrder) {
  ListenWithTls();
  RawClient client = Connect();
  client.Send(PostOf("a"));
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  upstream_.Answer(200, std::string(40'000, 'l'));
  client.Send(PostOf("large"));
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  std::string burst;
  for (int i = 0; i < 200; ++i) burst += PostOf(i % 10 == 9 ? "large" : "a");
  client.Send(burst);
  for (int i = 0; i < 200; ++i) {
    const RawAnswer answer = client.Receive();
    ASSERT_EQ(answer.Verdict(), "200 replayed") << i;
    ASSERT_EQ(answer.body.size(), i % 10 == 9 ? 40'000U : 7U) << i;
  }
}

}  // namespace
}  // namespace oncegate

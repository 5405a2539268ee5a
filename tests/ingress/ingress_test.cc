#include "ingress/ingress.h"

#include "ingress/deal.h"
#include "tests/ingress/ingress_fixture.h"

namespace oncegate {
namespace {

// All of it holds in plain text and over TLS.
INSTANTIATE_TEST_SUITE_P(Over, IngressTest, testing::Values(Transport::kPlain, Transport::kTls),
                         [](const auto& over) { return over.param == Transport::kPlain ? "Plain" : "Tls"; });

TEST_P(IngressTest, KeepsConnectionsOpenAndAnswersInOrder) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a"));
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  client.Send(PostOf("a") + PostOf("b") + PostOf("b") + "GET /orders HTTP/1.1\r\nHost: app\r\n\r\n");
  EXPECT_EQ(client.Receive().Verdict(), "200 replayed");
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  EXPECT_EQ(client.Receive().Verdict(), "200 replayed");
  const RawAnswer last = client.Receive();
  EXPECT_EQ(last.Verdict(), "200 passed");
  EXPECT_EQ(last.body, "order-1");
  EXPECT_EQ(last.Field("Connection"), "");
}

TEST_P(IngressTest, AnswersPipelinedReplaysByTheHundred) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a"));
  client.Receive();
  std::string burst;
  for (int i = 0; i < 500; ++i) burst += PostOf("a");
  client.Send(burst);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(client.Receive().Verdict(), "200 replayed") << i;
}

TEST_P(IngressTest, SpeaksHttp10) {
  Listen();
  RawClient client = Connect();
  client.Send("GET / HTTP/1.0\r\n\r\n");
  const RawAnswer answer = client.Receive();
  EXPECT_EQ(answer.Verdict(), "200 passed");
  EXPECT_EQ(answer.Field("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  RawClient kept = Connect();
  kept.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(kept.Receive().Field("Connection"), "keep-alive");
  kept.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(kept.Receive().status, 200);
  EXPECT_TRUE(kept.AtEnd());
}

TEST_P(IngressTest, ClosesWhenTheClientAsksForIt) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a", "{}", "Connection: close\r\n"));
  EXPECT_EQ(client.Receive().Field("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(IngressTest, VerdictsDoNotDependOnHowBytesArrive) {
  Listen();
  RawClient client = Connect();
  const std::string request = PostOf("a", R"({"id":1})");
  for (const char byte : request) client.Send(std::string_view(&byte, 1));
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  const std::string chunked =
      "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\n{\"i\r\n5\r\nd\":1}\r\n0\r\nX-Trailer: t\r\n\r\n";
  for (const char byte : chunked) client.Send(std::string_view(&byte, 1));
  EXPECT_EQ(client.Receive().Verdict(), "200 replayed") << "the same body, however it was framed";
}

TEST_P(IngressTest, AsksForTheBodyOfASenderThatWaits) {
  Listen();
  RawClient client = Connect();
  client.Send(
      "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 100);
  client.Send("{}");
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  client.Send("POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_EQ(client.Receive().Verdict(), "413 body-too-large") << "without asking for it first";
}

TEST_P(IngressTest, RefusesAndClosesBeforeAnythingElseSeesIt) {
  Listen({.max_body = 1000});
  struct Case {
    std::string request;
    const char* verdict;
  };
  const std::vector<Case> cases = {
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "400 bad-request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "400 bad-request"},
      {"POST / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "400 bad-request"},
      {"GET / HTTP/1.1\r\n\r\n", "400 bad-request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n", "400 bad-request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX", "400 bad-request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "413 body-too-large"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x'),
       "413 body-too-large"},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(17'000, 'x'), "431 head-too-large"},
  };
  for (const Case& c : cases) {
    RawClient client = Connect();
    client.Send(c.request);
    const RawAnswer answer = client.Receive();
    EXPECT_EQ(answer.Verdict(), c.verdict) << c.request.substr(0, 200);
    EXPECT_EQ(answer.Field("Content-Type"), "application/problem+json") << c.request.substr(0, 200);
    EXPECT_EQ(answer.Field("Connection"), "close") << c.request.substr(0, 200);
    EXPECT_TRUE(client.AtEnd()) << c.request.substr(0, 200);
  }
  EXPECT_EQ(upstream_.executions(), 0U);
}

TEST_P(IngressTest, TellsTheSenderOfALargeBodyEvenIfItKeepsSending) {
  Listen({.max_body = 1000});
  RawClient client = Connect();
  client.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
  client.Send(std::string(500'000, 'x'));
  EXPECT_EQ(client.Receive().Verdict(), "413 body-too-large");
}

TEST_P(IngressTest, SlowSendersGet408AndIdleConnectionsGo) {
  Listen({.request_timeout_ms = 30, .idle_timeout_ms = 60});
  RawClient slow_head = Connect();
  slow_head.Send("POST / HTTP/1.1\r\nHost:");
  RawClient slow_body = Connect();
  slow_body.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  RawClient idle = Connect();
  EXPECT_EQ(slow_head.Receive().Verdict(), "408 request-timeout");
  EXPECT_EQ(slow_body.Receive().Verdict(), "408 request-timeout");
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_EQ(gateway_->meter().Total(http::ErrorCode::kRequestTimeout), 2U);
}

TEST_P(IngressTest, CarriesLargeBodiesBothWays) {
  std::string received;
  Listen();
  upstream_.SetScript([&](const OutboundRequest& request, ResponseReceiver& receiver) {
    received = request.body;
    return ScriptedUpstream::Respond(receiver, 200, "Content-Length: " + std::to_string(received.size()) + "\r\n",
                                     {received});
  });
  std::string body(8 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 + i / 256);
  const RawAnswer answer = Ask(PostOf("a", body));
  EXPECT_EQ(answer.Verdict(), "200 executed");
  EXPECT_TRUE(received == body);
  EXPECT_TRUE(answer.body == body);
  EXPECT_EQ(memory_.used(), 0);
}

TEST_P(IngressTest, AnswersOfUnknownLengthAreChunkedOrEndTheConnection) {
  Listen();
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    return ScriptedUpstream::Respond(receiver, 200, "Transfer-Encoding: chunked\r\n", {"one ", "two ", "three"});
  });
  RawClient client = Connect();
  client.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  const RawAnswer chunked = client.Receive();
  EXPECT_EQ(chunked.Field("Transfer-Encoding"), "chunked");
  EXPECT_EQ(chunked.body, "one two three");
  client.Send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const RawAnswer closed = client.Receive();
  EXPECT_EQ(closed.Field("Transfer-Encoding"), "");
  EXPECT_EQ(closed.Field("Connection"), "close");
  EXPECT_EQ(closed.body, "one two three");
}

TEST_P(IngressTest, AnAnswerThatBreaksOffIsNotMadeToLookWhole) {
  Listen();
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    ScriptedUpstream::Respond(receiver, 200, "Transfer-Encoding: chunked\r\n", {"one "});
    return ForwardResult{ForwardEnd::kBroken, "cut"};
  });
  const RawAnswer answer = Ask("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.whole);
}

TEST_P(IngressTest, HeadAnd204And304HaveNoBody) {
  Listen();
  upstream_.Answer(200, "");
  RawClient client = Connect();
  client.Send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.Receive(true).status, 200);
  for (const int status : {204, 304}) {
    upstream_.SetScript([=](const OutboundRequest&, ResponseReceiver& receiver) {
      return ScriptedUpstream::Respond(receiver, status, "ETag: \"a\"\r\n", {});
    });
    client.Send(PostOf("k" + std::to_string(status)));
    const RawAnswer answer = client.Receive();
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.Field("Content-Length"), "") << status;
  }
  client.Send(PostOf("k204"));
  EXPECT_EQ(client.Receive().Verdict(), "204 replayed");
}

TEST_P(IngressTest, AClientThatOnlyStopsSendingStillGetsItsAnswer) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a"));
  client.CloseSending();
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(IngressTest, PipelinedRequestsBeforeAHalfCloseAreAllAnswered) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a", "{}", "X-Hold: yes\r\n") + PostOf("b") + PostOf("c"));
  client.CloseSending();
  upstream_.AwaitRequests(1);
  upstream_.OpenGate();
  for (const char* key : {"a", "b", "c"}) EXPECT_EQ(client.Receive().Verdict(), "200 executed") << key;
  EXPECT_TRUE(client.AtEnd());
}

// Each loop counts its connections for itself; answers that one loop's thread gives for another's must not go astray.
TEST_P(IngressTest, AnswersFindTheirConnectionOnEveryLoop) {
  Listen({.loops = 4});
  upstream_.Fail(ForwardEnd::kTimedOut);
  EXPECT_EQ(Ask(PostOf("held")).Verdict(), "504 upstream-timeout");
  constexpr int kRequests = 200;
  std::string burst;
  for (int i = 0; i < kRequests; ++i) burst += PostOf("held");
  std::vector<RawClient> idle;  // so that every loop is needed
  for (size_t i = 0; i < 4 * kConnectionsPerLoop; ++i) idle.push_back(Connect());
  std::vector<RawClient> clients;
  for (int i = 0; i < 16; ++i) clients.push_back(Connect());
  for (RawClient& client : clients) client.Send(burst);
  for (RawClient& client : clients) {
    for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.Receive().Verdict(), "409 outcome-unknown") << i;
  }
}

TEST_P(IngressTest, AClientThatDoesNotReadDoesNotDelayTheOutcome) {
  Listen({}, {.max_stored_body = 1000});
  upstream_.SetScript([](const OutboundRequest&, ResponseReceiver& receiver) {
    const std::vector<std::string> pieces(100, std::string(64 * 1024, 'x'));
    return ScriptedUpstream::Respond(receiver, 200, "Transfer-Encoding: chunked\r\n", pieces);
  });
  RawClient sleeper = Connect();
  sleeper.Send(PostOf("a"));
  upstream_.AwaitRequests(1);
  RawAnswer replay;
  do {
    replay = Ask(PostOf("a"));
  } while (replay.status == 409);
  EXPECT_EQ(replay.Verdict(), "200 replayed");
  EXPECT_EQ(replay.Field("Oncegate-Body"), "omitted");
  const RawAnswer late = sleeper.Receive();
  EXPECT_EQ(late.body.size(), 100U * 64 * 1024);
  EXPECT_TRUE(late.whole);
}

TEST_P(IngressTest, AnEndlessSenderDoesNotKeepTheLoop) {
  Listen({.loops = 1});
  Ask(PostOf("a"));
  RawClient greedy = Connect();
  std::string burst;
  for (int i = 0; i < 5000; ++i) burst += PostOf("a");
  std::thread sender([&] { greedy.Send(burst); });
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 replayed");
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(greedy.Receive().Verdict(), "200 replayed") << i;
  sender.join();
}

TEST_P(IngressTest, ABrokenAnswerToHttp10IsAReset) {
  Listen();
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    ScriptedUpstream::Respond(receiver, 200, "Transfer-Encoding: chunked\r\n", {"one "});
    return ForwardResult{ForwardEnd::kBroken, "cut"};
  });
  RawClient client = Connect();
  client.Send("GET / HTTP/1.0\r\n\r\n");
  client.Receive();
  EXPECT_TRUE(client.was_reset());
}

TEST_P(IngressTest, AClientThatGoesInTheMiddleOfItsBodyLeavesNothing) {
  Listen();
  const std::string head =
      "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: a\r\nContent-Length: 1000000\r\n\r\n";
  for (const bool orderly : {true, false}) {
    RawClient client = Connect();
    client.Send(head + std::string(500'000, 'x'));
    while (memory_.used() < 400'000) std::this_thread::yield();
    if (orderly) {
      client.CloseSending();
      EXPECT_TRUE(client.AtEnd());
    } else {
      client.Reset();
    }
    while (ingress_->connections() > 0) std::this_thread::yield();
    EXPECT_EQ(memory_.used(), 0) << orderly;
  }
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed") << "the key was never claimed";
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_P(IngressTest, AClientThatHangsUpCancelsNothing) {
  Listen();
  RawClient client = Connect();
  client.Send(PostOf("a", "{}", "X-Hold: yes\r\n"));
  upstream_.AwaitRequests(1);
  client.Reset();
  while (ingress_->connections() > 0) std::this_thread::yield();
  upstream_.OpenGate();
  EXPECT_EQ(Ask(PostOf("a", "{}", "X-Hold: yes\r\n")).Verdict(), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

using PlainIngressTest = IngressFixture;

TEST_F(PlainIngressTest, TurnsAwayConnectionsBeyondTheLimit) {
  Listen({.max_connections = 2});
  RawClient first = Connect();
  RawClient second = Connect();
  while (ingress_->connections() < 2) std::this_thread::yield();
  RawClient third = Connect();
  EXPECT_EQ(third.Receive().Verdict(), "503 overloaded");
  EXPECT_TRUE(third.AtEnd());
  first.Close();
  while (ingress_->connections() > 1) std::this_thread::yield();
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed");
}

TEST_P(IngressTest, BodiesBeyondTheMemoryBudgetAreRefused) {
  Listen();
  ASSERT_TRUE(memory_.TryTake(63 << 20));
  std::vector<RawClient> liars;
  for (int i = 0; i < 20; ++i) {
    liars.push_back(Connect());
    liars.back().Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
  }
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed") << "a sender's word alone takes nothing";
  RawClient client = Connect();
  client.Send(PostOf("b", std::string(2 << 20, 'x')));
  EXPECT_EQ(client.Receive().Verdict(), "503 overloaded");
  EXPECT_EQ(Ask(PostOf("c")).Verdict(), "200 executed");
  memory_.Give(63 << 20);
}

TEST_P(IngressTest, HundredsOfIdleConnectionsDoNotDisturb) {
  Listen();
  std::vector<RawClient> idle;
  for (int i = 0; i < 400; ++i) {
    idle.push_back(Connect());
    ASSERT_TRUE(idle.back().connected()) << i;
  }
  EXPECT_EQ(Ask(PostOf("a")).Verdict(), "200 executed");
  idle[200].Send(PostOf("a"));
  EXPECT_EQ(idle[200].Receive().Verdict(), "200 replayed");
}

TEST_P(IngressTest, StoppingFinishesWhatIsOwedAndClosesTheRest) {
  Listen();
  RawClient busy = Connect();
  busy.Send(PostOf("a", "{}", "X-Hold: yes\r\n"));
  upstream_.AwaitRequests(1);
  RawClient idle = Connect();
  idle.Send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(idle.Receive().status, 200);
  ingress_->StopAccepting();
  EXPECT_TRUE(idle.AtEnd());
  upstream_.OpenGate();
  const RawAnswer answer = busy.Receive();
  EXPECT_EQ(answer.Verdict(), "200 executed");
  EXPECT_EQ(answer.Field("Connection"), "close");
  EXPECT_TRUE(busy.AtEnd());
  EXPECT_FALSE(Connect().connected());
}

TEST_P(IngressTest, AnAddressInUseIsNamed) {
  Listen();
  IngressOptions options;
  options.listen = {{"127.0.0.1", port_}};
  const auto second = StartIngress(options, {*gateway_, memory_, clock_, logger_});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "cannot listen on 127.0.0.1:" + std::to_string(port_) + ": Address already in use");
}

}  // namespace
}  // namespace oncegate

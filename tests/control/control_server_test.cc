#include "control/control_server.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <thread>

#include "tests/gateway/gateway_fixture.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tls_client.h"

namespace oncegate::control {
namespace {

class ControlServerTest : public GatewayTest {
 protected:
  void Listen(const std::string& tokens = {}, size_t workers = 2) { ListenWith({}, tokens, workers); }
  void ListenWith(ControlOptions options, const std::string& tokens, size_t workers) {
    Start();
    options.port = 0;
    options.workers = workers;
    if (!tokens.empty()) options.tokens = *ParseTokens(tokens);
    auto server =
        ControlServer::Start(options, {.store = store_, .clock = time_, .logger = logger_, .gateway = gateway_.get()});
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = *std::move(server);
    port_ = RawClient::PortOf(server_->address());
  }
  ~ControlServerTest() override { server_.reset(); }

  RawAnswer Ask(const std::string& line, const std::string& fields = {}, const std::string& body = {}) {
    RawClient client(port_);
    client.Send(Request(line, fields, body));
    return client.Receive(line.starts_with("HEAD"));
  }
  static std::string Request(const std::string& line, const std::string& fields = {}, const std::string& body = {}) {
    const std::string length = body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return line + " HTTP/1.1\r\nHost: localhost\r\n" + fields + length + "\r\n" + body;
  }
  // "404 not-found"
  static std::string Verdict(const RawAnswer& answer) {
    const size_t at = answer.body.find(R"("code":")");
    if (at == std::string::npos) return std::to_string(answer.status);
    return std::to_string(answer.status) + " " + answer.body.substr(at + 8, answer.body.find('"', at + 8) - at - 8);
  }

  static std::string ClaimLine(const std::string& key, const std::string& more = {}) {
    return Request("POST /v1/claims", "", R"({"key":")" + key + "\"" + more + "}");
  }
  static std::string TokenOf(const RawAnswer& answer) {
    return answer.body.substr(answer.body.find(R"("token":")") + 9, 32);
  }
  // Claims a settled key again and again, one claim after the other, without reading, until an answer has to wait for
  // that. How many were sent.
  int ClaimUntilOneWaits(RawClient& client, const std::string& key) {
    const uint64_t before = gateway_->meter().Total(Outcome::kReplayed);
    for (int sent = 1;; ++sent) {
      client.Send(ClaimLine(key));
      const uint64_t expected = before + static_cast<uint64_t>(sent);
      const auto answered = [&] { return gateway_->meter().Total(Outcome::kReplayed) == expected; };
      for (int i = 0; i < 20'000 && !answered(); ++i) std::this_thread::yield();
      if (!answered()) return sent;
    }
  }

  ManualClock time_{1'795'469'039'123};
  std::unique_ptr<ControlServer> server_;
  uint16_t port_ = 0;
};

TEST_F(ControlServerTest, EveryAnswerForbidsSniffingCachingAndFramingAndCorsIsOff) {
  Listen();
  for (const char* line : {"GET /healthz", "GET /v1/stats", "GET /nothing", "BREW /pot", "DELETE /v1/records/default/a",
                           "OPTIONS /v1/stats"}) {
    const RawAnswer answer = Ask(line, "Origin: http://localhost\r\nAccept-Encoding: gzip, br\r\nRange: bytes=0-1\r\n");
    EXPECT_EQ(answer.Field("X-Content-Type-Options"), "nosniff") << line;
    EXPECT_EQ(answer.Field("Cache-Control"), "no-store") << line;
    EXPECT_EQ(answer.Field("Content-Security-Policy"), "default-src 'none'; frame-ancestors 'none'") << line;
    EXPECT_EQ(answer.Field("Referrer-Policy"), "no-referrer") << line;
    EXPECT_EQ(answer.Field("X-Frame-Options"), "DENY") << line;
    EXPECT_EQ(answer.Field("Access-Control-Allow-Origin"), "") << line;
    EXPECT_EQ(answer.Field("Content-Encoding"), "") << line;
    EXPECT_NE(answer.Field("Date"), "") << line;
    EXPECT_NE(answer.status, 206) << line;
    EXPECT_TRUE(answer.whole) << line;
  }
}

TEST_F(ControlServerTest, AnswersWithJsonAndProblems) {
  Listen();
  const RawAnswer health = Ask("GET /healthz");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.Field("Content-Type"), "application/json");
  EXPECT_EQ(health.body, R"({"status":"ok"})");
  const RawAnswer nothing = Ask("GET /nothing");
  EXPECT_EQ(Verdict(nothing), "404 not-found");
  EXPECT_EQ(nothing.Field("Content-Type"), "application/problem+json");
  const RawAnswer head = Ask("HEAD /healthz");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Field("Content-Length"), "15");
  EXPECT_EQ(Verdict(Ask("BREW /pot")), "404 not-found");
}

TEST_F(ControlServerTest, AReleaseHasNoContentAtAll) {
  Listen();
  Post("a/b").Get();
  while (gateway_->IsExecuting(ScopedKey("default", "a/b"))) std::this_thread::yield();
  const RawAnswer answer = Ask("DELETE /v1/records/default/a%2Fb");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.Field("Content-Length"), "") << answer.head;
  EXPECT_EQ(answer.Field("Content-Type"), "") << answer.head;
}

TEST_F(ControlServerTest, TheDashboardsPageIsOpenAndLocksItselfUp) {
  Listen("ops:s3cret");
  for (const char* path : {"GET /", "GET /assets/app.js"}) {
    const RawAnswer answer = Ask(path);
    EXPECT_EQ(answer.status, 200) << path;
    EXPECT_EQ(answer.Field("Cache-Control"), "no-cache") << path;
    EXPECT_EQ(answer.head.find("no-store"), std::string::npos) << path;
    EXPECT_EQ(answer.Field("X-Content-Type-Options"), "nosniff") << path;
    EXPECT_EQ(answer.Field("X-Frame-Options"), "DENY") << path;
    const std::string policy(answer.Field("Content-Security-Policy"));
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'self';")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos) << policy;
    const RawAnswer again = Ask(path, "If-None-Match: " + std::string(answer.Field("ETag")) + "\r\n");
    EXPECT_EQ(again.status, 304) << path;
    EXPECT_EQ(again.body, "") << path;
    EXPECT_EQ(again.Field("ETag"), answer.Field("ETag")) << path;
  }
  EXPECT_EQ(Verdict(Ask("GET /v1/session")), "401 unauthorized");
}

TEST_F(ControlServerTest, AsksForATokenWhereThereAreSome) {
  Listen("ops:s3cret");
  const RawAnswer refused = Ask("GET /v1/stats");
  EXPECT_EQ(Verdict(refused), "401 unauthorized");
  EXPECT_EQ(refused.Field("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Ask("GET /v1/stats", "Authorization: Bearer s3cret\r\n").status, 200);
  EXPECT_EQ(Ask("GET /healthz").status, 200);
  EXPECT_EQ(Ask("GET /readyz").status, 200);
  server_->SetTokens(*ParseTokens("other"));
  EXPECT_EQ(Ask("GET /v1/stats", "Authorization: Bearer s3cret\r\n").status, 401);
  EXPECT_EQ(Ask("GET /v1/stats", "Authorization: Bearer other\r\n").status, 200);
}

TEST_F(ControlServerTest, RefusesPagesOfOtherSites) {
  Listen();
  RawClient rebound(port_);
  rebound.Send("GET /v1/stats HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(Verdict(rebound.Receive()), "400 bad-request");
  EXPECT_EQ(Verdict(Ask("POST /v1/cleanup", "Origin: http://evil.example\r\n")), "400 bad-request");
  EXPECT_EQ(Ask("POST /v1/cleanup", "Origin: http://localhost\r\n").status, 200);
}

TEST_F(ControlServerTest, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  Listen();
  RawClient client(port_);
  client.Send(Request("GET /healthz") + Request("POST /v1/cleanup", {}, "{}") + Request("GET /nothing"));
  EXPECT_EQ(client.Receive().body, R"({"status":"ok"})");
  EXPECT_NE(client.Receive().body.find("removed"), std::string::npos);
  EXPECT_EQ(client.Receive().status, 404);
  client.Send(Request("GET /readyz", "Connection: close\r\n"));
  const RawAnswer last = client.Receive();
  EXPECT_EQ(last.Field("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ControlServerTest, ARequestMayComeByteByByte) {
  Listen();
  RawClient client(port_);
  for (const char byte : Request("POST /v1/cleanup", "Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n")
    client.Send({&byte, 1});
  EXPECT_EQ(client.Receive().status, 200);
  client.Send(Request("GET /healthz"));
  EXPECT_EQ(client.Receive().status, 200);
}

TEST_F(ControlServerTest, RefusesWhatHasSmuggledRequestsElsewhere) {
  Listen();
  struct Row {
    std::string fields;
    std::string body;
    std::string wanted;
  };
  const std::string inner = "DELETE /v1/records/default/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string inner_length = "Content-Length: " + std::to_string(inner.size()) + "\r\n";
  const Row rows[] = {
      {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + inner_length, inner, "400 bad-request"},
      {"DELETE /v1/records/default/b HTTP/1.1\r\nHost: localhost\r\n" + inner_length, inner, "400 bad-request"},
      {"POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + inner_length,
       "0\r\n\r\n" + inner, "400 bad-request"},
      {"POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + inner_length, inner,
       "400 bad-request"},
      {"POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n", "-2\r\n" + inner,
       "400 bad-request"},
      {"GET /healthz HTTP/1.1\r\n", "", "400 bad-request"},
      {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: " + std::string(20'000, 'a') + "\r\n", "", "431 head-too-large"},
      {"POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n", "", "413 body-too-large"},
  };
  for (const Row& row : rows) {
    Post("a").Get();
    RawClient client(port_);
    client.Send(row.fields + "\r\n" + row.body);
    const RawAnswer answer = client.Receive();
    EXPECT_EQ(Verdict(answer), row.wanted) << row.fields.substr(0, 200);
    EXPECT_EQ(answer.Field("Connection"), "close") << row.fields.substr(0, 200);
    EXPECT_TRUE(client.AtEnd()) << row.fields.substr(0, 200);
    EXPECT_EQ(Ask("GET /v1/records/default/a").status, 200) << "released by " << row.fields.substr(0, 200);
  }
}

TEST_F(ControlServerTest, ChunksWithoutEndAreRefusedAtTheLimit) {
  Listen();
  RawClient client(port_);
  client.Send("POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(65'536, 'x') + "\r\n";
  for (int i = 0; i < 20 && client.Send(chunk); ++i) {
  }
  EXPECT_EQ(Verdict(client.Receive()), "413 body-too-large");
}

// A line that export prints comes in again, however large its bodies are within the usual limits.
TEST_F(ControlServerTest, ImportsMayBeLargerThanOtherRequests) {
  Listen();
  const std::string line =
      R"({"key":"large","status":200,"expires":"2099-01-01T00:00:00Z","body":")" + std::string(3 << 20, 'x') + "\"}\n";
  const RawAnswer answer = Ask("POST /v1/import", "", line);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.body.find(R"("imported":1)"), std::string::npos) << answer.body;
  const auto record = store_.Get(ScopedKey("default", "large"), RecordParts::kAll);
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_EQ((*record)->response->body.size(), size_t{3} << 20);
  for (const char* other : {"POST /v1/claims", "PUT /v1/import", "POST /v1/import/"}) {
    RawClient client(port_);
    client.Send(std::string(other) + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n");
    EXPECT_EQ(Verdict(client.Receive()), "413 body-too-large") << other;
  }
  RawClient client(port_);
  client.Send("POST /v1/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33554433\r\n\r\n");
  EXPECT_EQ(Verdict(client.Receive()), "413 body-too-large");
}

TEST_F(ControlServerTest, StrangersMaySendNothingLarge) {
  Listen("ops:s3cret\neve:read-only:eye");
  for (const char* token : {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer eye\r\n"}) {
    RawClient client(port_);
    client.Send(std::string("POST /v1/import HTTP/1.1\r\nHost: localhost\r\n") + token +
                "Content-Length: 1048577\r\n\r\n");
    EXPECT_EQ(Verdict(client.Receive()), "413 body-too-large") << token;
  }
  RawClient client(port_);
  client.Send(
      "POST /v1/import HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n"
      "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 100);
}

TEST_F(ControlServerTest, LargeRequestsShareABoundedMemory) {
  Listen({}, 4);
  constexpr size_t kBytes = 24 << 20;  // two fit
  const std::string head =
      "POST /v1/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(kBytes) + "\r\n\r\n";
  const std::string most(kBytes - 1, '\n');
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(port_);
    (void)clients.back().Send(head + most);
  }
  // None of them is whole, so that only a refusal is an answer.
  std::vector<pollfd> answered;
  for (const RawClient& client : clients) answered.push_back({client.fd(), POLLIN, 0});
  ASSERT_GE(poll(answered.data(), answered.size(), RawClient::kWaitMsMax), 1);
  const auto refused = std::find_if(answered.begin(), answered.end(), [](const pollfd& fd) { return fd.revents != 0; });
  const auto at = static_cast<size_t>(refused - answered.begin());
  const RawAnswer refusal = clients[at].Receive();
  EXPECT_EQ(Verdict(refusal), "503 overloaded");
  EXPECT_EQ(refusal.Field("Retry-After"), "1");
  for (size_t i = 0; i < clients.size(); ++i) {
    if (i == at) continue;
    clients[i].Send("\n");
    EXPECT_EQ(clients[i].Receive().status, 200);
  }
  RawClient later(port_);  // what they took is given back
  ASSERT_TRUE(later.Send(head + most + "\n"));
  EXPECT_EQ(later.Receive().status, 200);
}

TEST_F(ControlServerTest, AskingFirstGetsAContinue) {
  Listen();
  RawClient client(port_);
  client.Send("POST /v1/cleanup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 100);
  client.Send("{}");
  EXPECT_EQ(client.Receive().status, 200);
}

TEST_F(ControlServerTest, IdleConnectionsDoNotStarveOthers) {
  Listen({}, 1);
  std::vector<RawClient> idle;
  for (int i = 0; i < 100; ++i) {
    RawClient client(port_);
    client.Send(i % 2 == 0 ? "" : "GET /healthz HTTP/1.1\r\nHost: loc");
    idle.push_back(std::move(client));
  }
  EXPECT_EQ(Ask("GET /healthz").status, 200);
}

TEST_F(ControlServerTest, WhoIsIdleOrSlowForTooLongIsClosed) {
  Listen();
  RawClient idle(port_);
  RawClient slow(port_);
  slow.Send("GET /healthz HTTP/1.1\r\n");
  idle.Send(Request("GET /healthz"));
  EXPECT_EQ(idle.Receive().status, 200);
  EXPECT_EQ(Ask("GET /healthz").status, 200);  // by now the listener has seen the others
  // Time goes on until both have run out of it, whenever the listener noted their start.
  std::atomic<bool> over{false};
  std::thread time([&] {
    while (!over) {
      time_.Advance(1000);
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(Verdict(slow.Receive()), "408 request-timeout");
  EXPECT_TRUE(idle.AtEnd());
  over = true;
  time.join();
}

TEST_F(ControlServerTest, BindingAnAddressThatIsTakenIsRefused) {
  Listen();
  ControlOptions options;
  options.port = port_;
  const ApiParts parts{.store = store_, .clock = time_, .logger = logger_, .gateway = nullptr};
  const auto second = ControlServer::Start(options, parts);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("127.0.0.1:" + std::to_string(port_)), std::string::npos)
      << second.status().message();
  options.host = "no such host";
  EXPECT_EQ(ControlServer::Start(options, parts).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ControlServerTest, ServesManyClientsAtOnceAndStopsWithThemConnected) {
  Listen({}, 4);
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      RawClient client(port_);
      for (int j = 0; j < 50; ++j) {
        client.Send(Request("GET /v1/stats"));
        if (client.Receive().status == 200) ++answered;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 800);
  RawClient open(port_);
  server_->Stop();
  EXPECT_TRUE(open.AtEnd());
}

TEST_F(ControlServerTest, AClaimsClientIsKnownAndMissed) {
  Listen({}, 3);
  const RawAnswer first = Ask("POST /v1/claims", "", R"({"key":"a"})");
  ASSERT_EQ(first.status, 201);
  const ScopedKey key("default", "a");
  EXPECT_EQ((*store_.Get(key, RecordParts::kAll))->source_ip, "127.0.0.1");
  {
    RawClient leaves(port_);
    leaves.Send(Request("POST /v1/claims", "", R"({"key":"a","wait":"60s"})"));
  }
  while (gateway_->meter().Total(http::ErrorCode::kInFlight) == 0) std::this_thread::yield();
  const std::string token = first.body.substr(first.body.find(R"("token":")") + 9, 32);
  EXPECT_EQ(Ask("POST /v1/claims/" + token + "/release", "", "{}").status, 204);
  EXPECT_FALSE(store_.Get(key, RecordParts::kAll)->has_value()) << "nobody is elected whose client has left";
}

// Claims whose write goes together with others' hold no worker.
class LaterAnswersTest : public ControlServerTest {
 protected:
  // From now on whoever makes calls of the store waits until LetGo.
  void Hold() {
    store_.on_call_together = [this](const std::vector<StoreCall>&) {
      ++groups_;
      released_.wait();
    };
  }
  void LetGo() { release_.set_value(); }
  void AwaitGroup() const {
    while (groups_ == 0) std::this_thread::yield();
  }
  RawClient Claim(const std::string& key) {
    RawClient client(port_);
    client.Send(ClaimLine(key));
    return client;
  }
  // Has a claim of the key completed, whatever the size of its answer.
  void CompleteWith(const std::string& key, const std::string& body) {
    Token token{};
    ASSERT_TRUE(ParseToken(TokenOf(Claim(key).Receive()), &token));
    ASSERT_TRUE(gateway_->sidecar().Complete(token, {.status = 200, .head = "HTTP/1.1 200 OK\r\n", .body = body}).ok());
  }
  static int64_t ResidentBytes() {
    int64_t size = 0;
    int64_t resident = 0;
    std::ifstream("/proc/self/statm") >> size >> resident;
    return resident * sysconf(_SC_PAGESIZE);
  }

  std::atomic<int> groups_{0};
  std::promise<void> release_;
  const std::shared_future<void> released_{release_.get_future()};
};

TEST_F(LaterAnswersTest, AWriteThatTakesLongHoldsOneWorkerHoweverManyWaitForIt) {
  Listen({}, 2);
  Hold();
  RawClient first = Claim("first");
  AwaitGroup();
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Claim(std::to_string(i)));
  EXPECT_EQ(Ask("GET /healthz").status, 200);
  LetGo();
  EXPECT_EQ(first.Receive().status, 201);
  for (RawClient& client : clients) EXPECT_EQ(client.Receive().status, 201);
}

TEST_F(LaterAnswersTest, KeepTheOrderOfPipelinedRequestsAndTheConnection) {
  Listen();
  RawClient client(port_);
  client.Send(ClaimLine("a") + Request("GET /healthz") + ClaimLine("a") + ClaimLine("b") + Request("GET /nothing"));
  const RawAnswer claimed = client.Receive();
  EXPECT_EQ(claimed.status, 201);
  EXPECT_EQ(claimed.Field("Content-Type"), "application/json");
  EXPECT_EQ(claimed.Field("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(claimed.Field("Cache-Control"), "no-store");
  EXPECT_NE(claimed.Field("Date"), "");
  EXPECT_EQ(claimed.Field("Connection"), "");
  EXPECT_EQ(client.Receive().body, R"({"status":"ok"})");
  EXPECT_EQ(Verdict(client.Receive()), "409 in-flight");
  EXPECT_EQ(client.Receive().status, 201);
  EXPECT_EQ(Verdict(client.Receive()), "404 not-found");
  client.Send(
      Request("POST /v1/claims/" + TokenOf(claimed) + "/complete", "Connection: close\r\n", R"({"status":200})"));
  const RawAnswer completed = client.Receive();
  EXPECT_EQ(completed.status, 204);
  EXPECT_EQ(completed.Field("Content-Length"), "");
  EXPECT_EQ(completed.Field("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(LaterAnswersTest, AClaimThatHasToWaitDoes) {
  Listen();
  const RawAnswer first = Ask("POST /v1/claims", "", R"({"key":"a"})");
  ASSERT_EQ(first.status, 201);
  RawClient waits(port_);
  waits.Send(ClaimLine("a", R"(,"wait":"60s")") + Request("GET /healthz"));
  EXPECT_EQ(Ask("POST /v1/claims/" + TokenOf(first) + "/complete", "", R"({"status":200,"body":"done"})").status, 204);
  const RawAnswer replay = waits.Receive();
  EXPECT_EQ(replay.status, 200);
  EXPECT_NE(replay.body.find(R"("outcome":"replay")"), std::string::npos) << replay.body;
  EXPECT_EQ(waits.Receive().status, 200) << "what it sent behind is answered too";
}

TEST_F(LaterAnswersTest, WhoDoesNotReadKeepsNobodyElseAndGetsAll) {
  Listen();
  const std::string small(Sidecar::kTogetherBodyBytesMax, 's');
  const std::string large(16 << 20, 'l');
  CompleteWith("small", small);
  CompleteWith("large", large);
  RawClient slow(port_);
  const int sent = ClaimUntilOneWaits(slow, "small");
  slow.Send(ClaimLine("large") + ClaimLine("small"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Claim("b" + std::to_string(i)).Receive().status, 201);
  for (int i = 0; i < sent + 2; ++i) {
    const RawAnswer replay = slow.Receive();
    ASSERT_EQ(replay.status, 200) << i;
    ASSERT_TRUE(replay.whole) << i;
    ASSERT_NE(replay.body.find(i == sent ? large : small), std::string::npos) << i;
  }
  EXPECT_EQ(gateway_->meter().Total(Outcome::kReplayed), static_cast<uint64_t>(sent) + 2) << "each once";
}

// Workers that wait for something give their place, of which there are few, to others.
TEST_F(LaterAnswersTest, WhoWaitsLeavesItsSeat) {
  ListenWith({.seats = 1}, {}, 4);
  CompleteWith("large", std::string(16 << 20, 'l'));
  const RawAnswer first = Ask("POST /v1/claims", "", R"({"key":"a"})");
  ASSERT_EQ(first.status, 201);
  RawClient waits_for_a_claim(port_);
  waits_for_a_claim.Send(ClaimLine("a", R"(,"wait":"60s")"));
  RawClient does_not_read(port_);
  does_not_read.Send(ClaimLine("large"));
  while (gateway_->meter().Total(Outcome::kReplayed) == 0) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Ask("GET /healthz").status, 200) << i;
    EXPECT_EQ(Claim("b" + std::to_string(i)).Receive().status, 201) << i;
  }
  EXPECT_TRUE(does_not_read.Receive().whole);
  EXPECT_EQ(Ask("POST /v1/claims/" + TokenOf(first) + "/complete", "", R"({"status":200})").status, 204);
  EXPECT_EQ(waits_for_a_claim.Receive().status, 200);
}

// A client that has sent its last byte gets one more answer, which says so; what it sent behind that is not for us.
TEST_F(LaterAnswersTest, NothingIsDoneForWhoWasToldThatTheConnectionEnds) {
  Listen();
  CompleteWith("a", std::string(Sidecar::kTogetherBodyBytesMax, 's'));
  RawClient client(port_);
  ClaimUntilOneWaits(client, "a");
  client.Send(ClaimLine("a") + ClaimLine("never"));
  client.CloseSending();
  RawAnswer last;
  while (last.Field("Connection") != "close") {
    last = client.Receive();
    ASSERT_EQ(last.status, 200);
    ASSERT_TRUE(last.whole);
  }
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(store_.Get(ScopedKey("default", "never"), RecordParts::kAll)->has_value());
}

TEST_F(LaterAnswersTest, WhatIsOwedGoesBeforeTheConnectionEnds) {
  Listen();
  CompleteWith("a", std::string(Sidecar::kTogetherBodyBytesMax, 's'));
  RawClient client(port_);
  int answers = ClaimUntilOneWaits(client, "a") + 1;
  client.Send(Request("POST /v1/claims", "Connection: close\r\n", R"({"key":"a"})") + ClaimLine("never"));
  for (; answers > 0; --answers) ASSERT_EQ(client.Receive().status, 200);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(store_.Get(ScopedKey("default", "never"), RecordParts::kAll)->has_value());
}

// What a client sends ahead of its answers stays with the kernel, and so with the client.
TEST_F(LaterAnswersTest, PipelinedRequestsAreNotGatheredInMemory) {
  Listen();
  constexpr int kRequests = 8192;
  constexpr int64_t kGatheredMax = 8 << 20;
  const std::string line = Request("POST /v1/claims/00000000000000000000000000000000/complete",
                                   "X-Filling: " + std::string(4096, 'x') + "\r\n", R"({"status":200})");
  RawClient client(port_);
  const int64_t before = ResidentBytes();
  std::thread sends([&] {
    for (int i = 0; i < kRequests; ++i) client.Send(line);
  });
  int64_t resident_max = 0;
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(client.Receive().status, 409) << i;
    if (i % 64 == 0) resident_max = std::max(resident_max, ResidentBytes());
  }
  sends.join();
  if (!kAddressSanitizer && !kThreadSanitizer) {
    EXPECT_LT(resident_max - before, kGatheredMax);
  }
}

TEST_F(LaterAnswersTest, AreSentBeforeTheListenerStops) {
  Listen();
  Hold();
  RawClient first = Claim("first");
  AwaitGroup();
  RawClient second = Claim("second");
  while (!gateway_->IsExecuting(ScopedKey("default", "second"))) std::this_thread::yield();
  std::thread stop([this] { server_->Stop(); });
  LetGo();
  EXPECT_EQ(first.Receive().status, 201);
  EXPECT_EQ(second.Receive().status, 201);
  stop.join();
}

class ControlTlsTest : public ControlServerTest {
 protected:
  ControlTlsTest() {
    ControlOptions options;
    options.tls = Load();
    ListenWith(options, {}, 2);
  }
  [[nodiscard]] std::shared_ptr<const tls::ServerContext> Load() const {
    auto loaded = tls::ServerContext::Load(certificates_.certificate_file(), certificates_.key_file());
    return loaded.ok() ? *loaded : nullptr;
  }
  [[nodiscard]] RawClient Connect(std::string* certificate = nullptr) const {
    TlsClient::Options options;
    options.certificate = certificate;
    return RawClient(port_, certificates_.client().With(options));
  }

  TestCertificates certificates_;
};

TEST_F(ControlTlsTest, KeepsConnectionsAndTakesLargeRequests) {
  EXPECT_TRUE(server_->address().starts_with("https://"));
  RawClient client = Connect();
  client.Send(Request("GET /healthz"));
  EXPECT_EQ(client.Receive().status, 200);
  // More than one turn and one record, with the next request right behind it.
  client.Send(Request("POST /v1/nothing", {}, std::string(900'000, 'x')) + Request("GET /healthz"));
  EXPECT_EQ(Verdict(client.Receive()), "404 not-found");
  EXPECT_EQ(client.Receive().status, 200);
  client.Send(Request("GET /healthz", "Connection: close\r\n"));
  EXPECT_EQ(client.Receive().status, 200);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ControlTlsTest, AnswersThatComeLaterAreEncryptedToo) {
  RawClient client = Connect();
  client.Send(Request("POST /v1/claims", "", R"({"key":"a"})") + Request("POST /v1/claims", "", R"({"key":"a"})"));
  const RawAnswer claimed = client.Receive();
  EXPECT_EQ(claimed.status, 201);
  EXPECT_EQ(Verdict(client.Receive()), "409 in-flight");
  const std::string token = claimed.body.substr(claimed.body.find(R"("token":")") + 9, 32);
  const std::string body(900'000, 'x');
  client.Send(Request("POST /v1/claims/" + token + "/complete", "", R"({"status":200,"body":")" + body + "\"}"));
  EXPECT_EQ(client.Receive().status, 204);
  client.Send(Request("POST /v1/claims", "", R"({"key":"a"})"));
  EXPECT_NE(client.Receive().body.find(body), std::string::npos);
}

TEST_F(ControlTlsTest, WhoDoesNotReadGetsAllTheSame) {
  RawClient client = Connect();
  client.Send(ClaimLine("a"));
  const std::string body(Sidecar::kTogetherBodyBytesMax, 's');
  client.Send(Request("POST /v1/claims/" + TokenOf(client.Receive()) + "/complete", "",
                      R"({"status":200,"body":")" + body + "\"}"));
  EXPECT_EQ(client.Receive().status, 204);
  const int sent = ClaimUntilOneWaits(client, "a");
  EXPECT_GT(sent, 1);
  for (int i = 0; i < sent; ++i) {
    const RawAnswer replay = client.Receive();
    ASSERT_TRUE(replay.whole) << i;
    ASSERT_NE(replay.body.find(body), std::string::npos) << i;
  }
}

TEST_F(ControlTlsTest, PlainTextGetsNoAnswer) {
  RawClient client(port_);
  client.Send(Request("GET /healthz"));
  EXPECT_EQ(client.Receive().status, 0);
}

TEST_F(ControlTlsTest, HandshakesThatStallAreClosedHoweverTheyTrickle) {
  RawClient stalled(port_);
  const std::string hello("\x16\x03\x01\x02\x00\x01\x00", 7);
  for (const char byte : hello) stalled.Send(std::string_view(&byte, 1));
  RawClient live = Connect();  // once it is served, the other was accepted, too
  time_.Advance(9'000);
  stalled.Send(std::string_view("\x01", 1));
  live.Send(Request("GET /healthz"));
  EXPECT_EQ(live.Receive().status, 200);
  time_.Advance(1'001);
  EXPECT_TRUE(stalled.AtEnd());
  live.Send(Request("GET /healthz"));
  EXPECT_EQ(live.Receive().status, 200) << "hands shaken, it may idle for longer";
}

TEST_F(ControlTlsTest, ANewCertificateIsForNewConnections) {
  std::string name;
  RawClient old = Connect(&name);
  EXPECT_EQ(name, "first");
  certificates_.Renew("second");
  server_->SetTls(Load());
  const RawClient fresh = Connect(&name);
  EXPECT_EQ(name, "second");
  old.Send(Request("GET /healthz"));
  EXPECT_EQ(old.Receive().status, 200);
}

}  // namespace
}  // namespace oncegate::control

#include "control/control_server.h"
#include "control/event_stream.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/support/raw_client.h"
#include "tests/support/tls_client.h"

namespace oncegate::control {
namespace {

class EventStreamTest : public testing::Test {
 protected:
  void Tell(const std::string& key, Outcome outcome) {
    feed_.Publish({.outcome = outcome, .route_scope = "default", .scope = "default", .key = key, .status = 200});
  }

  ManualClock clock_{1'795'469'039'123};
  EventFeed feed_{clock_};
  EventStream stream_{feed_.Subscribe(), clock_};
};

TEST_F(EventStreamTest, WritesEventsAsTheContractSays) {
  EXPECT_EQ(stream_.Take(), "retry: 2000\n\n");
  EXPECT_EQ(stream_.Take(), "");
  feed_.Publish({.outcome = http::ErrorCode::kInFlight,
                 .route_scope = "orders",
                 .scope = "orders",
                 .key = "evt_\"1\"",
                 .type = "order\nnew",
                 .source_ip = "192.0.2.7",
                 .status = 409,
                 .attempt = 2,
                 .duration_us = 1'250});
  feed_.Publish({.outcome = http::ErrorCode::kHeadTooLarge, .status = 431});
  EXPECT_EQ(stream_.Take(),
            "event: request\n"
            R"(data: {"at":"2026-11-23T21:23:59.123Z","scope":"orders","key":"evt_\"1\"","type":"order\nnew",)"
            R"("outcome":"in_flight","status":409,"duration_ms":1.25,"attempt":2,"source_ip":"192.0.2.7"})"
            "\n\n"
            "event: request\n"
            R"(data: {"at":"2026-11-23T21:23:59.123Z","scope":null,"key":null,"type":null,)"
            R"("outcome":"head_too_large","status":431,"duration_ms":null,"attempt":null,"source_ip":null})"
            "\n\n");
}

TEST_F(EventStreamTest, SaysWhatWasDroppedOnceASecondAndOnlyIfItGrew) {
  stream_.Take();
  for (int i = 0; i < 30; ++i) Tell("a", Outcome::kReplayed);
  const auto dropped = [this] {
    const std::string text = stream_.Take();
    const size_t at = text.find("event: dropped\n");
    return at == std::string::npos ? std::string() : text.substr(at);
  };
  EXPECT_EQ(dropped(), "event: dropped\ndata: {\"dropped\":20}\n\n");
  Tell("a", Outcome::kReplayed);
  clock_.Advance(999);
  EXPECT_EQ(dropped(), "");
  clock_.Advance(1);
  EXPECT_EQ(dropped(), "event: dropped\ndata: {\"dropped\":21}\n\n");
  clock_.Advance(5'000);
  EXPECT_EQ(dropped(), "");
}

TEST_F(EventStreamTest, BeatsEveryFifteenSeconds) {
  stream_.Take();
  clock_.Advance(14'999);
  EXPECT_EQ(stream_.Take(), "");
  clock_.Advance(1);
  EXPECT_EQ(stream_.Take(), ": still here\n\n");
  EXPECT_EQ(stream_.Take(), "");
  clock_.Advance(15'000);
  EXPECT_EQ(stream_.Take(), ": still here\n\n");
}

class EventsTest : public GatewayTest {
 protected:
  void Listen(ControlOptions options = {}, const std::string& tokens = {}) {
    Start();
    options.port = 0;
    options.workers = 1;
    if (!tokens.empty()) options.tokens = *ParseTokens(tokens);
    auto server =
        ControlServer::Start(options, {.store = store_, .clock = clock_, .logger = logger_, .gateway = gateway_.get()});
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = *std::move(server);
    port_ = RawClient::PortOf(server_->address());
  }
  ~EventsTest() override { server_.reset(); }

  static std::string Request(const std::string& line, const std::string& fields = {}) {
    return line + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
  }
  RawClient Follow(const std::string& fields = {}) const {
    RawClient client(port_);
    client.Send(Request("GET /v1/events", fields));
    return client;
  }
  int StatusOf(const std::string& line) const {
    RawClient client(port_);
    client.Send(Request(line));
    return client.Receive(line.starts_with("HEAD")).status;
  }
  void AwaitSubscribers(size_t count) const {
    while (gateway_->meter().feed().subscribers() != count) std::this_thread::yield();
  }

  std::unique_ptr<ControlServer> server_;
  uint16_t port_ = 0;
};

TEST_F(EventsTest, AStreamTellsOfRequestsAndHoldsNoWorker) {
  Listen();
  std::vector<RawClient> clients;
  for (size_t i = 0; i < EventFeed::kSubscribersMax; ++i) {
    clients.push_back(Follow());
    const std::string head = clients.back().ReceiveUntil("retry: 2000\n\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 200 ")) << head;
    EXPECT_NE(head.find("\r\nContent-Type: text/event-stream\r\n"), std::string::npos) << head;
    EXPECT_NE(head.find("\r\nDate: "), std::string::npos) << head;
  }
  // The only worker is free.
  RawClient one_more = Follow();
  const RawAnswer refused = one_more.Receive();
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.body.find("overloaded"), std::string::npos) << refused.body;
  EXPECT_NE(refused.Field("Retry-After"), "");
  EXPECT_EQ(StatusOf("GET /healthz"), 200);
  EXPECT_EQ(StatusOf("HEAD /v1/events"), 503);
  Post("evt_1").Get();
  for (RawClient& client : clients) {
    const std::string event = client.ReceiveUntil("\"source_ip\":\"192.0.2.7\"}\n\n");
    EXPECT_NE(event.find("\"key\":\"evt_1\""), std::string::npos) << event;
  }
  // Whoever leaves makes room.
  clients.pop_back();
  AwaitSubscribers(EventFeed::kSubscribersMax - 1);
  RawClient next = Follow();
  EXPECT_NE(next.ReceiveUntil("retry: 2000\n\n"), "");
}

TEST_F(EventsTest, TheEndOfTheServerIsTheEndOfTheStreamAtOnce) {
  Listen();
  RawClient client = Follow();
  client.ReceiveUntil("retry: 2000\n\n");
  server_->Stop();
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(gateway_->meter().feed().subscribers(), 0U);
}

TEST_F(EventsTest, ASubscriberWhoseTokenIsGoneIsSentAway) {
  Listen({}, "ops:read-only:s3cret");
  RawClient refused = Follow();
  EXPECT_EQ(refused.Receive().status, 401);
  RawClient client = Follow("Authorization: Bearer s3cret\r\n");
  client.ReceiveUntil("retry: 2000\n\n");
  server_->SetTokens(*ParseTokens("ops:other"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(EventsTest, WhatAClientSaysOnAStreamIsThrownAway) {
  Listen();
  RawClient client = Follow();
  client.ReceiveUntil("retry: 2000\n\n");
  client.Send(Request("DELETE /v1/records/default/evt_1") + std::string(500'000, 'x'));
  Post("evt_1").Get();
  EXPECT_NE(client.ReceiveUntil("evt_1"), "");
}

// Nobody reads: the events give way, the requests go on, and the subscriber's place is free after a while.
TEST_F(EventsTest, ASubscriberThatDoesNotReadHoldsUpNobody) {
  ManualClock time(1'795'469'039'123);
  Start();
  auto server = ControlServer::Start({.port = 0, .workers = 1},
                                     {.store = store_, .clock = time, .logger = logger_, .gateway = gateway_.get()});
  ASSERT_TRUE(server.ok()) << server.status().message();
  port_ = RawClient::PortOf((*server)->address());
  RawClient deaf = Follow();
  const int bytes = 4096;
  setsockopt(deaf.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  AwaitSubscribers(1);
  std::atomic<bool> over{false};
  std::thread flood([&] {
    const std::string type(120, 't');
    while (!over) {
      gateway_->meter().Count({.outcome = Outcome::kExecuted,
                               .route_scope = "default",
                               .scope = "default",
                               .key = std::string(255, 'k'),
                               .type = type,
                               .status = 200});
      time.Advance(50);
      std::this_thread::yield();
    }
  });
  AwaitSubscribers(0);
  over = true;
  flood.join();
}

TEST_F(EventsTest, StreamsOverTls) {
  TestCertificates certificates;
  ControlOptions options;
  auto loaded = tls::ServerContext::Load(certificates.certificate_file(), certificates.key_file());
  ASSERT_TRUE(loaded.ok());
  options.tls = *loaded;
  Listen(options);
  RawClient client(port_, certificates.client().With());
  client.Send(Request("GET /v1/events"));
  client.ReceiveUntil("retry: 2000\n\n");
  Post("evt_1").Get();
  EXPECT_NE(client.ReceiveUntil("evt_1"), "");
}

}  // namespace
}  // namespace oncegate::control

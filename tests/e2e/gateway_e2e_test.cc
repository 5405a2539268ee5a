// The real binary, a real store on disk, and an application whose ledger the test keeps.

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "store/rocksdb_store.h"
#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/raw_client.h"
#include "tests/support/tls_client.h"

namespace oncegate {
namespace {

// The parameter: whether the gateway speaks TLS.
class GatewayE2e : public testing::TestWithParam<bool> {
 protected:
  void Serve(std::vector<std::string> flags = {}) { ServeBefore(app_.url(), std::move(flags)); }
  void ServeBefore(const std::string& application, std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--upstream", application, "--data-dir", dir_ / "data"});
    if (GetParam()) {
      flags.insert(flags.end(),
                   {"--tls-cert", certificates_.certificate_file(), "--tls-key", certificates_.key_file()});
    }
    server_ = std::make_unique<ServeProcess>(flags);
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }
  [[nodiscard]] RawClient Connect() const {
    return RawClient(server_->gateway_port(), GetParam() ? certificates_.client().With() : nullptr);
  }

  static std::string PostOf(const std::string& key, const std::string& what = {}, const std::string& body = "{}") {
    return "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\n" +
           (what.empty() ? "" : "X-Do: " + what + "\r\n") + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  [[nodiscard]] RawAnswer Ask(const std::string& request) const {
    RawClient client = Connect();
    client.Send(request);
    return client.Receive();
  }
  [[nodiscard]] std::string Verdict(const std::string& key, const std::string& what = {}) const {
    return Ask(PostOf(key, what)).Verdict();
  }
  [[nodiscard]] std::string State(const std::string& key) const {
    const CommandResult result = RunOncegate({"get", key, "--json", "--control", server_->control_url()});
    const std::string name = "\"state\":\"";
    const size_t at = result.out.find(name);
    if (at == std::string::npos) return "(none)";
    return result.out.substr(at + name.size(), result.out.find('"', at + name.size()) - at - name.size());
  }

  const TestCertificates certificates_;
  TempDir dir_;
  CountingApp app_;
  std::unique_ptr<ServeProcess> server_;
};

INSTANTIATE_TEST_SUITE_P(Over, GatewayE2e, testing::Bool(),
                         [](const auto& over) { return over.param ? "Tls" : "Plain"; });

TEST_P(GatewayE2e, TwoHundredConcurrentDuplicatesExecuteOnce) {
  Serve();
  std::vector<RawClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(Connect());
    ASSERT_TRUE(clients.back().Send(PostOf("evt_1", "hold"))) << i;
  }
  ASSERT_TRUE(app_.AwaitTotal(1));
  app_.OpenGate();
  int executed = 0;
  for (RawClient& client : clients) {
    const RawAnswer answer = client.Receive();
    EXPECT_EQ(answer.body, "{\"key\":\"evt_1\"}") << answer.head;
    executed += answer.Verdict() == "200 executed" ? 1 : 0;
  }
  EXPECT_EQ(executed, 1);
  EXPECT_EQ(app_.Executions("evt_1"), 1);
}

TEST_P(GatewayE2e, AThousandWaitersOnOneKeyDoNotDelayAnother) {
  Serve({"--max-in-flight", "1100", "--in-flight-wait", "20s"});
  std::vector<RawClient> waiters;
  for (int i = 0; i < 1000; ++i) {
    waiters.push_back(Connect());
    ASSERT_TRUE(waiters.back().Send(PostOf("slow", "hold"))) << i;
  }
  ASSERT_TRUE(app_.AwaitTotal(1));
  EXPECT_EQ(Verdict("fast"), "200 executed") << "while the slow one is still held";
  EXPECT_EQ(app_.Total(), 2);
  app_.OpenGate();
  for (RawClient& waiter : waiters) ASSERT_EQ(waiter.Receive().status, 200);
  EXPECT_EQ(app_.Executions("slow"), 1);
}

TEST_P(GatewayE2e, AClientThatHangsUpGetsTheStoredAnswerOnItsRetry) {
  Serve();
  RawClient impatient = Connect();
  impatient.Send(PostOf("evt_1", "hold"));
  ASSERT_TRUE(app_.AwaitTotal(1));
  impatient.Close();
  RawClient retry = Connect();
  retry.Send(PostOf("evt_1", "hold"));
  app_.OpenGate();
  const RawAnswer answer = retry.Receive();
  EXPECT_EQ(answer.Verdict(), "200 replayed");
  EXPECT_EQ(answer.body, "{\"key\":\"evt_1\"}");
  EXPECT_EQ(app_.Executions("evt_1"), 1);
}

TEST_P(GatewayE2e, WebhookModeRetriesFailuresAndApiModeReplaysThem) {
  Serve();
  EXPECT_EQ(Verdict("evt_1", "status=500"), "500 executed");
  EXPECT_EQ(Verdict("evt_1", "status=500"), "500 executed");
  EXPECT_EQ(app_.Executions("evt_1"), 2);
  EXPECT_EQ(server_->Stop(), 0);
  Serve({"--mode", "api"});
  EXPECT_EQ(Verdict("evt_2", "status=500"), "500 executed");
  EXPECT_EQ(Verdict("evt_2", "status=500"), "500 replayed");
  EXPECT_EQ(app_.Executions("evt_2"), 1);
}

TEST_P(GatewayE2e, AnUpstreamThatIsDownReleasesTheKey) {
  std::string nobody;
  {
    const CountingApp gone;
    nobody = gone.url();
  }
  ServeBefore(nobody);
  EXPECT_EQ(Verdict("evt_1"), "502 upstream-unreachable");
  EXPECT_EQ(State("evt_1"), "(none)");
  RawClient control(server_->control_port());
  control.Send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const RawAnswer ready = control.Receive();
  EXPECT_EQ(ready.status, 200);
  EXPECT_NE(ready.body.find("unreachable"), std::string::npos) << ready.body;
}

TEST_P(GatewayE2e, AnUpstreamThatReadsAndClosesHoldsTheKey) {
  Serve();
  EXPECT_EQ(Verdict("evt_1", "hang-up"), "502 upstream-broken");
  EXPECT_EQ(State("evt_1"), "unknown");
  EXPECT_EQ(Verdict("evt_1", "hang-up"), "409 outcome-unknown");
  EXPECT_EQ(app_.Executions("evt_1"), 1);
}

TEST_P(GatewayE2e, ATimeoutHoldsTheKey) {
  Serve({"--upstream-timeout", "100ms"});
  EXPECT_EQ(Verdict("evt_1", "silent"), "504 upstream-timeout");
  EXPECT_EQ(State("evt_1"), "unknown");
  EXPECT_EQ(Verdict("evt_1", "silent"), "409 outcome-unknown");
  EXPECT_EQ(app_.Executions("evt_1"), 1);
}

TEST_P(GatewayE2e, AReplayIsTheAnswerByteForByte) {
  Serve();
  const RawAnswer first = Ask(PostOf("evt_1", "odd"));
  const RawAnswer replay = Ask(PostOf("evt_1", "odd"));
  EXPECT_EQ(first.Verdict(), "201 executed");
  EXPECT_EQ(first.Field("Set-Cookie"), "a=1");
  EXPECT_EQ(replay.head,
            "HTTP/1.1 201 Made\r\nX-One: 1\r\nx-two: 2\r\nX-One: 3\r\nContent-Encoding: gzip\r\n"
            "Location: /orders/a%20b?x=%2F\r\nContent-Length: 44\r\nIdempotency-Replayed: true\r\n"
            "Oncegate-Outcome: replayed\r\n\r\n");
  EXPECT_EQ(replay.body, first.body);
  EXPECT_EQ(replay.body.size(), 44U);
}

TEST_P(GatewayE2e, ARestartKeepsEverything) {
  Serve();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Verdict("evt_" + std::to_string(i)), "200 executed");
  EXPECT_EQ(Verdict("held", "hang-up"), "502 upstream-broken");
  EXPECT_EQ(server_->Stop(), 0);
  Serve();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Verdict("evt_" + std::to_string(i)), "200 replayed");
  EXPECT_EQ(Verdict("held"), "409 outcome-unknown");
  EXPECT_EQ(app_.Total(), 51);
}

TEST_P(GatewayE2e, WhatWasInProgressWhenItWasKilledIsUnknown) {
  Serve();
  EXPECT_EQ(Verdict("done"), "200 executed");
  RawClient client = Connect();
  client.Send(PostOf("evt_1", "hold"));
  ASSERT_TRUE(app_.AwaitTotal(2));
  EXPECT_EQ(State("evt_1"), "in_progress");
  server_->Kill();
  Serve();
  EXPECT_EQ(State("evt_1"), "unknown");
  EXPECT_EQ(Verdict("evt_1", "hold"), "409 outcome-unknown");
  EXPECT_EQ(Verdict("done"), "200 replayed");
  EXPECT_EQ(app_.Executions("evt_1"), 1);
  EXPECT_EQ(RunOncegate({"release", "evt_1", "--control", server_->control_url()}).exit_code, 0);
  app_.OpenGate();
  EXPECT_EQ(Verdict("evt_1", "hold"), "200 executed");
  EXPECT_NE(app_.LastRequest("evt_1").find("\r\nOncegate-Attempt: 1\r\n"), std::string::npos);
}

TEST_P(GatewayE2e, SigtermFinishesWhatIsInFlight) {
  Serve();
  RawClient client = Connect();
  client.Send(PostOf("evt_1", "hold"));
  ASSERT_TRUE(app_.AwaitTotal(1));
  server_->Signal(SIGTERM);
  while (Connect().connected()) std::this_thread::yield();
  app_.OpenGate();
  EXPECT_EQ(client.Receive().Verdict(), "200 executed");
  EXPECT_EQ(server_->Wait(), 0);
  Serve();
  EXPECT_EQ(Verdict("evt_1", "hold"), "200 replayed");
}

TEST_P(GatewayE2e, ASecondSigtermEndsAtOnce) {
  Serve();
  RawClient client = Connect();
  client.Send(PostOf("evt_1", "hold"));
  ASSERT_TRUE(app_.AwaitTotal(1));
  server_->Signal(SIGTERM);
  while (Connect().connected()) std::this_thread::yield();
  server_->Signal(SIGTERM);
  EXPECT_NE(server_->Wait(), 0);
  Serve();
  EXPECT_EQ(Verdict("evt_1", "hold"), "409 outcome-unknown");
}

TEST_P(GatewayE2e, StatisticsEqualAFullScanAfterKillAndExpiry) {
  Serve({"--ttl", "1h", "--type-header", "X-Type"});
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(Ask("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k" + std::to_string(i) + "\r\nX-Type: t" +
                  std::to_string(i % 3) + "\r\nContent-Length: 0\r\n\r\n")
                  .Verdict(),
              "200 executed");
  }
  EXPECT_EQ(Verdict("held", "hang-up"), "502 upstream-broken");
  server_->Kill();

  // The same directory, by the same code, under a clock that can be moved.
  const SystemClock system;
  ManualClock clock(system.WallMs());
  Logger logger(LogFormat::kText, LogLevel::kError);
  RocksDbStoreOptions options;
  options.directory = dir_ / "data";
  options.cleanup_interval_ms = 0;
  auto store = OpenRocksDbStore(options, clock, logger);
  ASSERT_TRUE(store.ok()) << store.status().message();
  const auto scan = [&] {
    const auto page = (*store)->List({}, "", 1000);
    EXPECT_TRUE(page.ok() && page->next_cursor.empty());
    return page->records.size();
  };
  const auto stats = [&] {
    auto found = (*store)->Stats();
    while (found.ok() && !found->exact) {
      std::this_thread::yield();
      found = (*store)->Stats();
    }
    EXPECT_TRUE(found.ok());
    return *found;
  };
  EXPECT_EQ(stats().active, scan());
  EXPECT_EQ(stats().active, 41U);
  EXPECT_EQ(stats().unknown, 1U);
  EXPECT_EQ(stats().by_type.size(), 4U);
  clock.Advance(3'600'000);
  EXPECT_EQ(stats().active, scan());
  EXPECT_EQ(stats().active, 1U) << "the held one never expires";
  EXPECT_EQ(stats().expired, 40U);
  EXPECT_EQ((*store)->Cleanup()->removed, 40U);
  EXPECT_EQ(stats().expired, 0U);
  EXPECT_EQ(stats().active, scan());
}

}  // namespace
}  // namespace oncegate

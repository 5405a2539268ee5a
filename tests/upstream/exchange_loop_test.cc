// Requests that are sent, and their answers read, without a thread of the caller's.

#include "upstream/exchange_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/upstream/recorder.h"
#include "tests/upstream/scripted_server.h"
#include "upstream/http_upstream.h"

namespace oncegate {
namespace {

// What an observer was told.
struct Told {
  ForwardResult result;
  std::unique_ptr<ForwardRest> rest;
  bool on_callers_thread = false;
};

class Observer final : public ForwardObserver {
 public:
  explicit Observer(std::promise<Told> promise) : promise_(std::move(promise)) {}

  void OnForwarded(std::unique_ptr<ForwardObserver> self, ForwardResult result) override {
    promise_.set_value({std::move(result), nullptr, std::this_thread::get_id() == caller_});
    self.reset();
  }
  void OnMayWait(std::unique_ptr<ForwardObserver> self, std::unique_ptr<ForwardRest> rest) override {
    promise_.set_value({{}, std::move(rest), std::this_thread::get_id() == caller_});
    self.reset();
  }

 private:
  std::promise<Told> promise_;
  const std::thread::id caller_ = std::this_thread::get_id();
};

// Connections that wait for each other: before all are there none is answered, given back, and taken by somebody else.
class Crowd {
 public:
  explicit Crowd(size_t size) : size_(size) {}
  void Join() const {
    if (++*joined_ == size_) all_.Set();
    all_.Await();
  }

 private:
  const size_t size_;
  const std::shared_ptr<std::atomic<size_t>> joined_ = std::make_shared<std::atomic<size_t>>(0);
  const Flag all_;
};

// One request under way.
struct Call {
  std::unique_ptr<OutboundRequest> request;
  std::unique_ptr<Recorder> recorder = std::make_unique<Recorder>();
  std::future<Told> told;
  bool started = false;
};

class ExchangeLoopTest : public testing::Test {
 protected:
  void Serve(std::vector<ScriptedServer::Script> scripts) {
    server_ = std::make_unique<ScriptedServer>(std::move(scripts));
    HttpUpstreamOptions options;
    options.url = *UpstreamUrl::Parse("http://127.0.0.1:" + std::to_string(server_->port()));
    upstream_ = *MakeHttpUpstream(std::move(options), clock_, &loop_);
  }
  // An idle connection: the server's script has to begin with an answer.
  void Connect() {
    Recorder recorder;
    ASSERT_EQ(upstream_->Forward(MakeRequest("connect"), recorder).end, ForwardEnd::kAnswered);
  }
  // As many of them: the scripts have to join a crowd of that size first.
  void ConnectAll(size_t count) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { Connect(); });
    for (std::thread& thread : threads) thread.join();
  }
  Call Start(OutboundRequest request = MakeRequest("body"), Recorder recorder = {}) {
    Call call;
    call.request = std::make_unique<OutboundRequest>(std::move(request));
    *call.recorder = std::move(recorder);
    std::promise<Told> promise;
    call.told = promise.get_future();
    std::unique_ptr<ForwardObserver> observer = std::make_unique<Observer>(std::move(promise));
    call.started = upstream_->Start(*call.request, *call.recorder, observer);
    EXPECT_EQ(call.started, observer == nullptr);
    return call;
  }
  ForwardResult StartAndWait(OutboundRequest request = MakeRequest("body")) {
    Call call = Start(std::move(request));
    return call.told.get().result;
  }
  // Answers once, then does something else on the same connection.
  static ScriptedServer::Script AnswerThen(ScriptedServer::Script then) {
    return [then = std::move(then)](Peer& peer) {
      peer.ReadRequest();
      peer.Send(kShortAnswer);
      then(peer);
    };
  }

  SystemClock clock_;
  upstream::ExchangeLoop loop_{clock_};
  // The upstream goes first: servers wait for their clients to close.
  std::unique_ptr<ScriptedServer> server_;
  std::unique_ptr<Upstream> upstream_;
};

TEST_F(ExchangeLoopTest, DeliversTheAnswerOnItsOwnThreadAndKeepsTheConnection) {
  Serve({AnswerAll});
  Connect();
  for (int i = 0; i < 3; ++i) {
    Call call = Start();
    const Told told = call.told.get();
    ASSERT_EQ(told.result.end, ForwardEnd::kAnswered) << told.result.detail;
    EXPECT_FALSE(told.on_callers_thread);
    EXPECT_EQ(call.recorder->status, 200);
    EXPECT_EQ(call.recorder->body, "hi");
  }
  EXPECT_EQ(server_->connections(), 1U);
  EXPECT_EQ(server_->requests().back(), "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
}

TEST_F(ExchangeLoopTest, ConnectsToNobody) {
  Serve({AnswerAll});
  EXPECT_EQ(StartAndWait().end, ForwardEnd::kNotSent);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ExchangeLoopTest, AConnectionThatClosedWhileIdleIsNotUsed) {
  Serve({AnswerThen([](Peer&) {}), AnswerAll});
  Connect();
  ASSERT_TRUE(server_->AwaitFinishedConnections(1));
  EXPECT_EQ(StartAndWait().end, ForwardEnd::kNotSent);
  EXPECT_EQ(server_->requests().size(), 1U);
}

TEST_F(ExchangeLoopTest, AConnectionThatDiesAfterTheRequestIsBrokenAndSentOnce) {
  Serve({AnswerThen([](Peer& peer) {
    peer.ReadRequest();
    peer.Reset();
  })});
  Connect();
  const ForwardResult result = StartAndWait();
  EXPECT_EQ(result.end, ForwardEnd::kBroken);
  EXPECT_NE(result.detail, "");
  EXPECT_EQ(server_->requests().size(), 2U);
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(ExchangeLoopTest, NoAnswerInTimeIsTimedOut) {
  Serve({AnswerThen([](Peer& peer) { peer.AwaitClose(); })});
  Connect();
  OutboundRequest request = MakeRequest("body");
  request.total_timeout_ms = 30;
  EXPECT_EQ(StartAndWait(std::move(request)).end, ForwardEnd::kTimedOut);
}

// Each byte gives it more time between two, but not in all.
TEST_F(ExchangeLoopTest, AnAnswerThatTricklesEndsWithTheTotalTime) {
  Serve({AnswerThen([](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (peer.Send("x")) std::this_thread::yield();
  })});
  Connect();
  OutboundRequest request = MakeRequest("body");
  request.total_timeout_ms = 50;
  request.idle_timeout_ms = 10'000;
  EXPECT_EQ(StartAndWait(std::move(request)).end, ForwardEnd::kTimedOut);
}

TEST_F(ExchangeLoopTest, SilenceInTheMiddleOfAnAnswerIsTimedOut) {
  Serve({AnswerThen([](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    peer.AwaitClose();
  })});
  Connect();
  OutboundRequest request = MakeRequest("body");
  request.total_timeout_ms = 0;
  request.idle_timeout_ms = 30;
  EXPECT_EQ(StartAndWait(std::move(request)).end, ForwardEnd::kTimedOut);
}

// A deadline that is sooner than the one that the loop waits for must not be overslept.
TEST_F(ExchangeLoopTest, AShorterDeadlineIsKeptBehindALongerOne) {
  Serve({[crowd = Crowd(2)](Peer& peer) {
    peer.ReadRequest();
    crowd.Join();
    peer.Send(kShortAnswer);
    peer.AwaitClose();
  }});
  ConnectAll(2);
  const Call patient = Start();
  OutboundRequest request = MakeRequest("body");
  request.total_timeout_ms = 30;
  EXPECT_NE(StartAndWait(std::move(request)).end, ForwardEnd::kAnswered);
  EXPECT_EQ(patient.told.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  upstream_->Abort();
}

TEST_F(ExchangeLoopTest, LargeBodiesPassBothWays) {
  const std::string large(8 << 20, 'b');
  Serve({AnswerThen([&large](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n" + large);
    peer.AwaitClose();
  })});
  Connect();
  Call call = Start(MakeRequest(large));
  const Told told = call.told.get();
  EXPECT_EQ(told.result.end, ForwardEnd::kAnswered) << told.result.detail;
  EXPECT_EQ(call.recorder->body, large);
  EXPECT_TRUE(server_->requests().back().ends_with("\r\n\r\n" + large));
}

TEST_F(ExchangeLoopTest, WhereTheReceiverMayWaitTheRestIsHandedOver) {
  const std::string large(1 << 20, 'b');
  Serve({AnswerThen([&large](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n" + large);
    AnswerAll(peer);
  })});
  Connect();
  Recorder recorder;
  recorder.may_wait_from_bytes = 1;
  Call call = Start(MakeRequest("body"), std::move(recorder));
  const Told told = call.told.get();
  ASSERT_NE(told.rest, nullptr);
  EXPECT_FALSE(call.recorder->body.empty());
  EXPECT_LT(call.recorder->body.size(), large.size());
  EXPECT_EQ(told.rest->Run().end, ForwardEnd::kAnswered);
  EXPECT_EQ(call.recorder->body, large);
  EXPECT_EQ(StartAndWait().end, ForwardEnd::kAnswered) << "the connection is kept";
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(ExchangeLoopTest, AReceiverCanStop) {
  Serve({AnswerAll});
  Connect();
  Recorder recorder;
  recorder.stop_at_head = true;
  Call call = Start(MakeRequest("body"), std::move(recorder));
  EXPECT_EQ(call.told.get().result.end, ForwardEnd::kStopped);
}

TEST_F(ExchangeLoopTest, AbortEndsWhatIsUnderWayAndStartsNothing) {
  Flag read;
  Serve({AnswerThen([read](Peer& peer) {
    peer.ReadRequest();
    read.Set();
    peer.AwaitClose();
  })});
  Connect();
  Call call = Start();
  read.Await();
  upstream_->Abort();
  // Told before Abort returned.
  ASSERT_EQ(call.told.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(call.told.get().result.end, ForwardEnd::kBroken);
  EXPECT_FALSE(Start().started);
}

TEST_F(ExchangeLoopTest, WithoutALoopNothingIsStarted) {
  Serve({AnswerAll});
  HttpUpstreamOptions options;
  options.url = *UpstreamUrl::Parse("http://127.0.0.1:" + std::to_string(server_->port()));
  upstream_ = *MakeHttpUpstream(std::move(options), clock_);
  Connect();
  EXPECT_FALSE(Start().started);
}

TEST_F(ExchangeLoopTest, ManyAtOnceEachGetTheirOwnAnswer) {
  constexpr size_t kConnections = 16;
  constexpr size_t kRequests = 1000;
  Serve({[crowd = Crowd(kConnections)](Peer& peer) {
    for (std::string request = peer.ReadRequest(); !request.empty(); request = peer.ReadRequest()) {
      const std::string body = request.substr(request.find("\r\n\r\n") + 4);
      if (body == "connect") crowd.Join();
      peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }});
  ConnectAll(kConnections);
  std::vector<std::string> bodies;
  for (size_t i = 0; i < kRequests; ++i) bodies.push_back("body " + std::to_string(i));
  std::vector<std::thread> threads;
  std::atomic<size_t> answered{0};
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < kRequests; i += 4) {
        Call call = Start(MakeRequest(bodies[i]));
        const ForwardResult result = call.told.get().result;
        if (result.end != ForwardEnd::kAnswered) continue;
        ++answered;
        EXPECT_EQ(call.recorder->body, bodies[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, kRequests) << "four at most need a connection";
}

// As a route that a reload has dropped: its last request is also the last user of its application.
TEST_F(ExchangeLoopTest, AnObserverMayBeTheLastUserOfTheUpstream) {
  class Owner final : public ForwardObserver {
   public:
    void OnForwarded(std::unique_ptr<ForwardObserver> self, ForwardResult result) override {
      upstream.reset();
      promise.set_value(std::move(result));
      self.reset();
    }
    void OnMayWait(std::unique_ptr<ForwardObserver>, std::unique_ptr<ForwardRest>) override {}
    std::shared_ptr<Upstream> upstream;
    std::promise<ForwardResult> promise;
  };
  Flag go;
  Serve({AnswerThen([go](Peer& peer) {
    peer.ReadRequest();
    go.Await();
    peer.Send(kShortAnswer);
    peer.AwaitClose();
  })});
  Connect();
  auto owner = std::make_unique<Owner>();
  std::future<ForwardResult> result = owner->promise.get_future();
  owner->upstream = std::move(upstream_);
  Upstream& upstream = *owner->upstream;
  const OutboundRequest request = MakeRequest("body");
  Recorder recorder;
  std::unique_ptr<ForwardObserver> observer = std::move(owner);
  ASSERT_TRUE(upstream.Start(request, recorder, observer));
  go.Set();
  EXPECT_EQ(result.get().end, ForwardEnd::kAnswered);
}

}  // namespace
}  // namespace oncegate

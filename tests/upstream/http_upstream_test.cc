#include "upstream/http_upstream.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/upstream/recorder.h"
#include "tests/upstream/scripted_server.h"

namespace oncegate {
namespace {

constexpr size_t kLarge = 8 * 1024 * 1024;
// Reads one request, sends those bytes, and closes.
ScriptedServer::Script AnswerOnce(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    peer.ReadRequest();
    peer.Send(answer);
  };
}

// Reads one request, sends those bytes, and waits for the client to close.
ScriptedServer::Script AnswerAndHold(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    peer.ReadRequest();
    peer.Send(answer);
    peer.AwaitClose();
  };
}

std::unique_ptr<Upstream> UpstreamTo(uint16_t port, const Clock& clock) {
  Result<UpstreamUrl> url = UpstreamUrl::Parse("http://127.0.0.1:" + std::to_string(port));
  HttpUpstreamOptions options;
  options.url = *url;
  return std::move(MakeHttpUpstream(std::move(options), clock)).value();
}

// A port that is taken, and refuses connections until somebody listens on it.
class LateServer {
 public:
  LateServer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~LateServer() { close(fd_); }
  LateServer(const LateServer&) = delete;
  LateServer& operator=(const LateServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  // Answers one request on one connection; what it was sent.
  [[nodiscard]] std::string ServeOne() const {
    EXPECT_EQ(listen(fd_, 16), 0);
    const int client = accept(fd_, nullptr, nullptr);
    std::array<char, 4096> request{};
    const ssize_t size = recv(client, request.data(), request.size(), 0);
    EXPECT_EQ(send(client, kShortAnswer, strlen(kShortAnswer), MSG_NOSIGNAL),
              static_cast<ssize_t>(strlen(kShortAnswer)));
    close(client);
    return {request.data(), static_cast<size_t>(std::max<ssize_t>(size, 0))};
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

// Stands still until it is moved, and lets a test wait until it was looked at so often.
class WatchedClock final : public Clock {
 public:
  [[nodiscard]] int64_t WallMs() const override { return clock_.WallMs(); }
  [[nodiscard]] int64_t SteadyMs() const override {
    const std::lock_guard lock(mutex_);
    ++looks_;
    changed_.notify_all();
    return clock_.SteadyMs();
  }
  [[nodiscard]] int64_t SteadyUs() const override { return SteadyMs() * 1000; }
  void Advance(int64_t ms) { clock_.Advance(ms); }
  int looks() const {
    const std::lock_guard lock(mutex_);
    return looks_;
  }
  void AwaitLooks(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return looks_ >= count; });
  }

 private:
  ManualClock clock_{0};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable int looks_ = 0;  // guarded by mutex_
};

// An application that cannot be connected to at first.
class LateUpstreamTest : public testing::Test {
 protected:
  void Start(size_t retries_max = 1) {
    HttpUpstreamOptions options;
    options.url = *UpstreamUrl::Parse("http://127.0.0.1:" + std::to_string(server_.port()));
    options.connect_retries_max = retries_max;
    upstream_ = *MakeHttpUpstream(std::move(options), clock_);
    EXPECT_EQ(Forward(0).end, ForwardEnd::kNotSent);
    looks_of_one_try_ = clock_.looks();
  }
  // Until more was done than one try takes.
  void AwaitRetries() { clock_.AwaitLooks(4 * looks_of_one_try_); }
  ForwardResult Forward(int64_t connect_retry_ms) {
    OutboundRequest request = MakeRequest("body");
    request.connect_retry_ms = connect_retry_ms;
    return upstream_->Forward(request, recorder_);
  }
  std::future<ForwardResult> ForwardPatiently() {
    return std::async(std::launch::async, [this] { return Forward(60'000); });
  }

  LateServer server_;
  WatchedClock clock_;
  Recorder recorder_;
  std::unique_ptr<Upstream> upstream_;
  int looks_of_one_try_ = 0;
};

TEST_F(LateUpstreamTest, IsSentTheRequestOnceItListens) {
  Start();
  std::future<ForwardResult> result = ForwardPatiently();
  AwaitRetries();
  EXPECT_EQ(server_.ServeOne(), "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(result.get().end, ForwardEnd::kAnswered);
  EXPECT_EQ(recorder_.body, "hi");
}

TEST_F(LateUpstreamTest, IsGivenUpWhenTheTimeIsOver) {
  Start();
  std::future<ForwardResult> result = ForwardPatiently();
  AwaitRetries();
  clock_.Advance(60'000);
  const ForwardResult ended = result.get();
  EXPECT_EQ(ended.end, ForwardEnd::kNotSent);
  EXPECT_TRUE(ended.detail.starts_with("cannot connect to 127.0.0.1")) << ended.detail;
}

TEST_F(LateUpstreamTest, IsGivenUpWhenTheProcessGoesDown) {
  Start();
  std::future<ForwardResult> result = ForwardPatiently();
  AwaitRetries();
  upstream_->Abort();
  EXPECT_EQ(result.get().end, ForwardEnd::kNotSent);
}

TEST_F(LateUpstreamTest, IsTriedAgainByAFewAtATime) {
  Start(1);
  std::future<ForwardResult> first = ForwardPatiently();
  AwaitRetries();
  // The clock stands still: this one would never end if it tried again.
  EXPECT_EQ(Forward(60'000).end, ForwardEnd::kNotSent);
  clock_.Advance(60'000);
  EXPECT_EQ(first.get().end, ForwardEnd::kNotSent);
}

class HttpUpstreamTest : public testing::Test {
 protected:
  void Serve(std::vector<ScriptedServer::Script> scripts) {
    server_ = std::make_unique<ScriptedServer>(std::move(scripts));
    upstream_ = UpstreamTo(server_->port(), clock_);
  }
  ForwardResult Forward(const OutboundRequest& request = MakeRequest("body")) {
    recorder_ = Recorder();
    return upstream_->Forward(request, recorder_);
  }

  SystemClock clock_;
  // The upstream goes first: servers wait for their clients to close.
  std::unique_ptr<ScriptedServer> server_;
  std::unique_ptr<Upstream> upstream_;
  Recorder recorder_;
};

TEST_F(HttpUpstreamTest, DeliversTheAnswerAndKeepsTheConnection) {
  Serve({AnswerAll});
  for (int i = 0; i < 3; ++i) {
    const ForwardResult result = Forward();
    ASSERT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
    EXPECT_EQ(result.detail, "");
    EXPECT_EQ(recorder_.status, 200);
    EXPECT_EQ(recorder_.body, "hi");
  }
  EXPECT_EQ(server_->connections(), 1u);
  ASSERT_EQ(server_->requests().size(), 3u);
  EXPECT_EQ(server_->requests()[0], "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
}

TEST_F(HttpUpstreamTest, AConnectionClosedWhileIdleIsNotUsed) {
  Serve({AnswerOnce(kShortAnswer), AnswerAll});
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  ASSERT_TRUE(server_->AwaitFinishedConnections(1));
  ASSERT_EQ(Forward(MakeRequest("second")).end, ForwardEnd::kAnswered);
  EXPECT_EQ(server_->connections(), 2u);
  ASSERT_EQ(server_->requests().size(), 2u);
  EXPECT_TRUE(server_->requests()[1].ends_with("second"));
}

TEST_F(HttpUpstreamTest, AConnectionThatSpokeWhileIdleIsNotUsed) {
  Flag answered;
  Flag spoke;
  Serve({[=](Peer& peer) {
           peer.ReadRequest();
           peer.Send(kShortAnswer);
           answered.Await();
           peer.Send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
           spoke.Set();
           peer.AwaitClose();
         },
         AnswerAll});
  const ForwardResult first = Forward();
  answered.Set();
  spoke.Await();
  ASSERT_EQ(first.end, ForwardEnd::kAnswered) << first.detail;
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(recorder_.status, 200);
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpUpstreamTest, AConnectionIdleForTooLongIsNotUsed) {
  ScriptedServer server({AnswerAll});
  ManualClock clock(0);
  const std::unique_ptr<Upstream> upstream = UpstreamTo(server.port(), clock);
  const auto forward = [&upstream] {
    Recorder recorder;
    return upstream->Forward(MakeRequest("x"), recorder).end;
  };
  ASSERT_EQ(forward(), ForwardEnd::kAnswered);
  clock.Advance(999);
  ASSERT_EQ(forward(), ForwardEnd::kAnswered);
  EXPECT_EQ(server.connections(), 1u);
  clock.Advance(1000);
  ASSERT_EQ(forward(), ForwardEnd::kAnswered);
  EXPECT_EQ(server.connections(), 2u);
  EXPECT_TRUE(server.AwaitFinishedConnections(1));
}

TEST_F(HttpUpstreamTest, ARequestThatWasReadAndNotAnsweredIsBrokenAndSentOnce) {
  Serve({AnswerOnce("")});
  const ForwardResult result = Forward();
  EXPECT_EQ(result.end, ForwardEnd::kBroken);
  EXPECT_NE(result.detail, "");
  EXPECT_EQ(server_->requests().size(), 1u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpUpstreamTest, AReusedConnectionThatDiesAfterTheRequestIsBrokenAndSentOnce) {
  Serve({[](Peer& peer) {
    peer.ReadRequest();
    peer.Send(kShortAnswer);
    peer.ReadRequest();
    peer.Reset();
  }});
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(Forward().end, ForwardEnd::kBroken);
  EXPECT_EQ(server_->requests().size(), 2u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpUpstreamTest, AResetBeforeTheRequestIsReadIsNeverSentAgain) {
  Serve({[](Peer& peer) { peer.Reset(); }});
  const ForwardResult result = Forward();
  EXPECT_TRUE(result.end == ForwardEnd::kBroken || result.end == ForwardEnd::kNotSent) << result.detail;
  EXPECT_EQ(server_->requests().size(), 0u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpUpstreamTest, ARefusedConnectionIsNotSent) {
  // Bound and not listening: nobody else can get the port, and nobody answers on it.
  const int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(holder, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(holder, reinterpret_cast<sockaddr*>(&address), &size), 0);
  upstream_ = UpstreamTo(ntohs(address.sin_port), clock_);
  const ForwardResult result = Forward();
  EXPECT_EQ(result.end, ForwardEnd::kNotSent);
  EXPECT_NE(result.detail.find("Connection refused"), std::string::npos) << result.detail;
  const Status probe = upstream_->Probe(1000);
  EXPECT_EQ(probe.code(), StatusCode::kUnavailable);
  EXPECT_NE(probe.message().find("Connection refused"), std::string::npos) << probe.message();
  close(holder);
}

TEST_F(HttpUpstreamTest, AnUnknownNameIsNotSent) {
  HttpUpstreamOptions options;
  options.url = *UpstreamUrl::Parse("http://no-such-host.invalid:1");
  upstream_ = std::move(MakeHttpUpstream(std::move(options), clock_)).value();
  const ForwardResult result = Forward();
  EXPECT_EQ(result.end, ForwardEnd::kNotSent);
  EXPECT_NE(result.detail.find("cannot be resolved"), std::string::npos) << result.detail;
}

TEST_F(HttpUpstreamTest, ProbeConnectsAndSendsNothing) {
  Serve({AnswerAll});
  EXPECT_TRUE(upstream_->Probe(1000).ok());
  ASSERT_TRUE(server_->AwaitFinishedConnections(1));
  EXPECT_EQ(server_->requests().size(), 0u);
}

TEST_F(HttpUpstreamTest, NoAnswerInTimeIsTimedOut) {
  Serve({AnswerAndHold("")});
  OutboundRequest total = MakeRequest("body");
  total.total_timeout_ms = 50;
  EXPECT_EQ(Forward(total).end, ForwardEnd::kTimedOut);
  OutboundRequest idle = MakeRequest("body");
  idle.total_timeout_ms = 0;
  idle.idle_timeout_ms = 50;
  EXPECT_EQ(Forward(idle).end, ForwardEnd::kTimedOut);
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpUpstreamTest, HalfAnAnswerInTimeIsTimedOut) {
  Serve({AnswerAndHold("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")});
  OutboundRequest request = MakeRequest("body");
  request.idle_timeout_ms = 50;
  EXPECT_EQ(Forward(request).end, ForwardEnd::kTimedOut);
  EXPECT_EQ(recorder_.body, "hel");
}

TEST_F(HttpUpstreamTest, AnAnswerThatTricklesEndsWithTheTotalTime) {
  Serve({[](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\n\r\n");
    while (peer.Send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }});
  OutboundRequest request = MakeRequest("body");
  request.total_timeout_ms = 100;
  EXPECT_EQ(Forward(request).end, ForwardEnd::kTimedOut);
}

TEST_F(HttpUpstreamTest, ARequestThatIsNotReadIsTimedOut) {
  Flag done;
  Serve({[=](Peer&) { done.Await(); }});
  const std::string body(4 * kLarge, 'x');
  OutboundRequest request = MakeRequest(body);
  request.idle_timeout_ms = 50;
  EXPECT_EQ(Forward(request).end, ForwardEnd::kTimedOut);
  done.Set();
}

struct AnswerRow {
  std::string_view name;
  std::string answer;  // after which the server closes
  ForwardEnd end;
  int status;
  std::string_view body;
};

TEST_F(HttpUpstreamTest, AnswersOfAllKinds) {
  const std::string hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  const std::vector<AnswerRow> rows = {
      {"counted", kShortAnswer, ForwardEnd::kAnswered, 200, "hi"},
      {"interim first", hints + kShortAnswer, ForwardEnd::kAnswered, 200, "hi"},
      {"interim only", hints, ForwardEnd::kBroken, 0, ""},
      {"switching", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", ForwardEnd::kBroken, 0, ""},
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
       ForwardEnd::kAnswered, 200, "hi!"},
      {"chunked, cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", ForwardEnd::kBroken, 200,
       "hi"},
      {"chunked, malformed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n", ForwardEnd::kBroken,
       200, ""},
      {"until close", "HTTP/1.1 200 OK\r\n\r\nhi there", ForwardEnd::kAnswered, 200, "hi there"},
      {"until close, empty", "HTTP/1.0 200 OK\r\n\r\n", ForwardEnd::kAnswered, 200, ""},
      {"counted, cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", ForwardEnd::kBroken, 200, "hi"},
      {"no content", "HTTP/1.1 204 No Content\r\n\r\n", ForwardEnd::kAnswered, 204, ""},
      {"error", "HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", ForwardEnd::kAnswered, 503, ""},
      {"bytes after", std::string(kShortAnswer) + "HTTP/1.1 200 OK\r\n", ForwardEnd::kAnswered, 200, "hi"},
      {"garbage", "SSH-2.0-OpenSSH\r\n", ForwardEnd::kBroken, 0, ""},
      {"binary", std::string("\0\1\2\3", 4), ForwardEnd::kBroken, 0, ""},
      {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", ForwardEnd::kBroken, 0, ""},
      {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", ForwardEnd::kBroken, 0,
       ""},
      {"endless head", "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), ForwardEnd::kBroken, 0, ""},
  };
  for (const AnswerRow& row : rows) {
    Serve({AnswerOnce(row.answer)});
    const ForwardResult result = Forward();
    EXPECT_EQ(result.end, row.end) << row.name << ": " << result.detail;
    EXPECT_EQ(result.detail.empty(), row.end == ForwardEnd::kAnswered) << row.name << ": " << result.detail;
    EXPECT_EQ(recorder_.status, row.status) << row.name;
    EXPECT_EQ(recorder_.body, row.body) << row.name;
    EXPECT_EQ(server_->requests().size(), 1u) << row.name;
  }
}

TEST_F(HttpUpstreamTest, AConnectionWithBytesAfterTheAnswerIsNotKept) {
  Serve({AnswerAndHold(std::string(kShortAnswer) + "x"), AnswerAll});
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpUpstreamTest, AConnectionThatTheAnswerClosesIsNotKept) {
  Serve({AnswerAndHold("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"), AnswerAll});
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpUpstreamTest, HeadAnswersHaveNoBody) {
  Serve({[](Peer& peer) {
    while (!peer.ReadRequest().empty()) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  }});
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Forward(MakeRequest("", "HEAD")).end, ForwardEnd::kAnswered);
    EXPECT_EQ(recorder_.last_head.fields.Find("Content-Length"), "100");
    EXPECT_EQ(recorder_.body, "");
  }
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpUpstreamTest, LargeBodiesPassBothWays) {
  std::string answer_body(kLarge, 'y');
  for (size_t i = 0; i < answer_body.size(); i += 7) answer_body[i] = static_cast<char>('a' + i % 26);
  Serve({[=](Peer& peer) {
    while (!peer.ReadRequest().empty()) {
      peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(answer_body.size()) + "\r\n\r\n");
      peer.Send(answer_body);
    }
  }});
  std::string body(kLarge, 'x');
  for (size_t i = 0; i < body.size(); i += 11) body[i] = static_cast<char>('a' + i % 26);
  for (int i = 0; i < 2; ++i) {
    const ForwardResult result = Forward(MakeRequest(body));
    ASSERT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
    EXPECT_TRUE(recorder_.body == answer_body);
    EXPECT_TRUE(server_->requests().back().ends_with(body));
  }
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpUpstreamTest, AnApplicationMayAnswerWhileItReads) {
  Serve({[](Peer& peer) {
    peer.ReadHead();
    peer.Send("HTTP/1.1 200 OK\r\n\r\n");
    std::array<char, 16 * 1024> chunk{};
    size_t left = kLarge / 2;  // what ReadHead has read of the body by then is not echoed
    while (left > 0) {
      const size_t received = peer.stream().Read(chunk.data(), std::min(chunk.size(), left));
      if (received == 0 || !peer.Send({chunk.data(), received})) return;
      left -= received;
    }
    // Closing with unread bytes would reset the connection, and with it what was sent.
    peer.stream().Finish();
    peer.AwaitClose();
  }});
  const std::string body(kLarge, 'x');
  const ForwardResult result = Forward(MakeRequest(body));
  EXPECT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
  EXPECT_EQ(recorder_.body.size(), kLarge / 2);
}

TEST_F(HttpUpstreamTest, AnEarlyAnswerToALargeRequestIsDelivered) {
  const std::string refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlong";
  const std::string body(4 * kLarge, 'x');
  Flag done;
  Serve({[=](Peer& peer) {  // stays open and reads no more
           peer.ReadHead();
           peer.Send(refusal);
           done.Await();
         },
         [=](Peer& peer) {  // closes with the request unread, which resets the connection
           peer.ReadHead();
           peer.Send(refusal);
           peer.Drop();
         },
         AnswerAll});
  for (int i = 0; i < 2; ++i) {
    const ForwardResult result = Forward(MakeRequest(body));
    EXPECT_EQ(result.end, ForwardEnd::kAnswered) << i << ": " << result.detail;
    EXPECT_EQ(recorder_.status, 413) << i;
    EXPECT_EQ(recorder_.body, "long") << i;
  }
  done.Set();
  EXPECT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(server_->connections(), 3u);
}

TEST_F(HttpUpstreamTest, AReceiverCanStopAtTheHeadAndInTheBody) {
  Serve({AnswerAndHold("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi")});
  recorder_.stop_at_head = true;
  EXPECT_EQ(upstream_->Forward(MakeRequest("body"), recorder_).end, ForwardEnd::kStopped);
  recorder_ = Recorder();
  recorder_.stop_after_bytes = 1;
  EXPECT_EQ(upstream_->Forward(MakeRequest("body"), recorder_).end, ForwardEnd::kStopped);
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpUpstreamTest, AbortEndsTheWaitAndAllLaterRequests) {
  Serve({AnswerAndHold("")});
  ForwardResult result;
  std::thread forwarder([&] { result = Forward(); });
  ASSERT_TRUE(server_->AwaitRequests(1));
  upstream_->Abort();
  forwarder.join();
  EXPECT_EQ(result.end, ForwardEnd::kBroken);
  EXPECT_EQ(Forward().end, ForwardEnd::kNotSent);
  EXPECT_FALSE(upstream_->Probe(1000).ok());
  EXPECT_EQ(server_->requests().size(), 1u);
}

TEST_F(HttpUpstreamTest, ManyThreadsEachGetTheirOwnAnswer) {
  Serve({[](Peer& peer) {
    for (std::string request = peer.ReadRequest(); !request.empty(); request = peer.ReadRequest()) {
      const std::string body = request.substr(request.find("\r\n\r\n") + 4);
      peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }});
  constexpr int kThreads = 32;
  constexpr int kRequests = 25;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        const std::string body = std::to_string(t) + "/" + std::to_string(i);
        Recorder recorder;
        if (upstream_->Forward(MakeRequest(body), recorder).end == ForwardEnd::kAnswered && recorder.body == body)
          ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kRequests);
  EXPECT_EQ(server_->requests().size(), static_cast<size_t>(kThreads * kRequests));
  EXPECT_LE(server_->connections(), static_cast<size_t>(kThreads));
}

}  // namespace
}  // namespace oncegate

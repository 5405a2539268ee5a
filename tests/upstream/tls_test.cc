#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/upstream/recorder.h"
#include "tests/upstream/scripted_server.h"
#include "tests/upstream/test_certificates.h"
#include "upstream/http_upstream.h"

namespace oncegate {
namespace {

class TlsTest : public testing::Test {
 protected:
  void Serve(std::vector<ScriptedServer::Script> scripts, const std::string& certified_name = "DNS:localhost") {
    server_ = std::make_unique<ScriptedServer>(std::move(scripts), authority_.ServerFor(certified_name));
    Connect("localhost", authority_.ca_file());
  }
  void Connect(const std::string& host, const std::string& ca_file) {
    HttpUpstreamOptions options;
    options.url = *UpstreamUrl::Parse("https://" + host + ":" + std::to_string(server_->port()));
    options.ca_file = ca_file;
    options.connect_timeout_ms = 5000;
    upstream_ = std::move(MakeHttpUpstream(std::move(options), clock_)).value();
  }
  ForwardResult Forward(const OutboundRequest& request = MakeRequest("body")) {
    recorder_ = Recorder();
    return upstream_->Forward(request, recorder_);
  }
  void ExpectRefused(std::string_view why) {
    const ForwardResult result = Forward();
    EXPECT_EQ(result.end, ForwardEnd::kNotSent);
    EXPECT_NE(result.detail.find(why), std::string::npos) << result.detail;
    EXPECT_EQ(server_->requests().size(), 0u);
    EXPECT_FALSE(upstream_->Probe(5000).ok());
  }

  SystemClock clock_;
  TestAuthority authority_;
  // The upstream goes first: servers wait for their clients to close.
  std::unique_ptr<ScriptedServer> server_;
  std::unique_ptr<Upstream> upstream_;
  Recorder recorder_;
};

TEST_F(TlsTest, AVerifiedConnectionCarriesRequestsAndIsKept) {
  Serve({AnswerAll});
  for (int i = 0; i < 3; ++i) {
    const ForwardResult result = Forward();
    ASSERT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
    EXPECT_EQ(recorder_.body, "hi");
  }
  EXPECT_EQ(server_->connections(), 1u);
  EXPECT_EQ(server_->requests().size(), 3u);
  EXPECT_TRUE(upstream_->Probe(5000).ok());
}

TEST_F(TlsTest, AnAddressIsVerifiedAsOne) {
  Serve({AnswerAll}, "IP:127.0.0.1");
  Connect("127.0.0.1", authority_.ca_file());
  const ForwardResult result = Forward();
  EXPECT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
}

TEST_F(TlsTest, AnotherNameIsRefused) {
  Serve({AnswerAll}, "DNS:other.example");
  ExpectRefused("hostname mismatch");
}

TEST_F(TlsTest, ANameDoesNotCoverItsAddress) {
  Serve({AnswerAll}, "DNS:localhost");
  Connect("127.0.0.1", authority_.ca_file());
  ExpectRefused("IP address mismatch");
}

TEST_F(TlsTest, AnUnknownAuthorityIsRefused) {
  Serve({AnswerAll});
  const TestAuthority another;
  Connect("localhost", another.ca_file());
  ExpectRefused("certificate not accepted");
  Connect("localhost", "");
  ExpectRefused("certificate not accepted");
}

TEST_F(TlsTest, AServerThatSpeaksNoTlsIsRefused) {
  server_ = std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[](Peer& peer) {
    peer.Send("HTTP/1.1 400 Bad Request\r\n\r\n");
    peer.AwaitClose();
  }});
  Connect("localhost", authority_.ca_file());
  ExpectRefused("TLS handshake with localhost failed");
}

TEST_F(TlsTest, AnUnreadableCaFileIsAnInvalidArgument) {
  HttpUpstreamOptions options;
  options.url = *UpstreamUrl::Parse("https://localhost");
  options.ca_file = "/no/such/file.pem";
  const auto made = MakeHttpUpstream(std::move(options), clock_);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(made.status().message().find("/no/such/file.pem"), std::string::npos);
}

TEST_F(TlsTest, AConnectionClosedWhileIdleIsNotUsed) {
  Serve({[](Peer& peer) {
           peer.ReadRequest();
           peer.Send(kShortAnswer);
         },
         AnswerAll});
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  ASSERT_TRUE(server_->AwaitFinishedConnections(1));
  ASSERT_EQ(Forward().end, ForwardEnd::kAnswered);
  EXPECT_EQ(server_->connections(), 2u);
  EXPECT_EQ(server_->requests().size(), 2u);
}

TEST_F(TlsTest, ARequestThatWasReadAndNotAnsweredIsBrokenAndSentOnce) {
  Serve({[](Peer& peer) { peer.ReadRequest(); }});
  EXPECT_EQ(Forward().end, ForwardEnd::kBroken);
  EXPECT_EQ(server_->requests().size(), 1u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(TlsTest, AnAnswerUntilCloseNeedsAProperEnd) {
  const auto answer = [](Peer& peer) {
    peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\n\r\nhi");
  };
  Serve({[=](Peer& peer) {
           answer(peer);
           peer.Close();
         },
         [=](Peer& peer) {
           answer(peer);
           peer.Drop();
         }});
  const ForwardResult whole = Forward();
  EXPECT_EQ(whole.end, ForwardEnd::kAnswered) << whole.detail;
  EXPECT_EQ(recorder_.body, "hi");
  EXPECT_EQ(Forward().end, ForwardEnd::kBroken);
}

TEST_F(TlsTest, LargeBodiesPassBothWays) {
  const std::string answer_body(8 * 1024 * 1024, 'y');
  Serve({[=](Peer& peer) {
    while (!peer.ReadRequest().empty()) {
      peer.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(answer_body.size()) + "\r\n\r\n");
      peer.Send(answer_body);
    }
  }});
  std::string body(8 * 1024 * 1024, 'x');
  for (size_t i = 0; i < body.size(); i += 11) body[i] = static_cast<char>('a' + i % 26);
  for (int i = 0; i < 2; ++i) {
    const ForwardResult result = Forward(MakeRequest(body));
    ASSERT_EQ(result.end, ForwardEnd::kAnswered) << result.detail;
    EXPECT_TRUE(recorder_.body == answer_body);
    EXPECT_TRUE(server_->requests().back().ends_with(body));
  }
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(TlsTest, AbortEndsAHandshakeThatWaits) {
  Flag accepted;
  server_ = std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[=](Peer& peer) {
    accepted.Set();
    peer.AwaitClose();
  }});
  Connect("localhost", authority_.ca_file());
  ForwardResult result;
  std::thread forwarder([&] { result = Forward(); });
  accepted.Await();
  upstream_->Abort();
  forwarder.join();
  EXPECT_EQ(result.end, ForwardEnd::kNotSent);
}

TEST_F(TlsTest, AHandshakeThatTakesTooLongIsNotSent) {
  server_ =
      std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[](Peer& peer) { peer.AwaitClose(); }});
  HttpUpstreamOptions options;
  options.url = *UpstreamUrl::Parse("https://localhost:" + std::to_string(server_->port()));
  options.ca_file = authority_.ca_file();
  options.connect_timeout_ms = 100;
  upstream_ = std::move(MakeHttpUpstream(std::move(options), clock_)).value();
  const ForwardResult result = Forward();
  EXPECT_EQ(result.end, ForwardEnd::kNotSent);
  EXPECT_NE(result.detail.find("no answer in time"), std::string::npos) << result.detail;
}

}  // namespace
}  // namespace oncegate

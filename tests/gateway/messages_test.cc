#include "gateway/messages.h"

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

http::ResponseHead Parse(const std::string& text, const std::string& method = "POST") {
  http::ResponseHead head;
  http::HeadParser parser;
  EXPECT_EQ(parser.ParseResponse(text, method, &head), http::ParseState::kDone) << text;
  return head;
}

TEST_F(GatewayTest, TheApplicationGetsTheRequestAsSentLessWhatConcernsTheConnection) {
  Start();
  Send("POST",
       "X-B: 2\r\nx-a:  one%2Fvalue \r\nX-B: 3\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: "
       "trailers\r\n"
       "Upgrade: h2c\r\nOncegate-Key: forged\r\nOncegate_Attempt: 9\r\nX_Forwarded_Proto: https\r\nX-Forwarded-For: "
       "203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
       "Expect: 100-continue\r\nIdempotency-Key: evt_1\r\nContent-Length: 2\r\n",
       "{}", "/a%2Fb/../c?x=%20")
      .Get();
  EXPECT_EQ(upstream_.heads().at(0),
            "POST /a%2Fb/../c?x=%20 HTTP/1.1\r\nHost: app\r\nX-B: 2\r\nx-a: one%2Fvalue\r\nX-B: 3\r\n"
            "Idempotency-Key: evt_1\r\nContent-Length: 2\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
            "Via: 1.1 oncegate\r\nOncegate-Key: evt_1\r\nOncegate-Attempt: 1\r\n\r\n");
}

TEST_F(GatewayTest, TheUpstreamsPrefixComesFirstAndUnkeyedRequestsCarryNoKey) {
  Start({.upstream_prefix = "/api/v1"});
  Send("GET", "", "", "/orders?page=2").Get();
  EXPECT_EQ(upstream_.heads().at(0),
            "GET /api/v1/orders?page=2 HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 192.0.2.7\r\n"
            "X-Forwarded-Proto: http\r\nVia: 1.1 oncegate\r\n\r\n");
}

TEST_F(GatewayTest, TheAsteriskTargetHasNoPrefix) {
  Start({.upstream_prefix = "/api/v1"});
  Send("OPTIONS", "", "", "*").Get();
  EXPECT_TRUE(upstream_.heads().at(0).starts_with("OPTIONS * HTTP/1.1\r\n")) << upstream_.heads().at(0);
}

TEST(Messages, TheClientGetsTheAnswerAsSent) {
  const http::ResponseHead head = Parse(
      "HTTP/1.1 201 Made It\r\nDate: Mon, 23 Nov 2026 21:43:59 GMT\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
      "Connection: x-hop\r\nX-Hop: 1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nOncegate-Outcome: forged\r\n"
      "Idempotency-Replayed: true\r\nLocation: /a%20b\r\n\r\n");
  EXPECT_EQ(ClientHead(head, Outcome::kExecuted),
            "HTTP/1.1 201 Made It\r\nDate: Mon, 23 Nov 2026 21:43:59 GMT\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            "Content-Encoding: gzip\r\nContent-Length: 3\r\nLocation: /a%20b\r\nOncegate-Outcome: executed\r\n");
  const Reply replay = ReplayOf(ResponseToStore(head, "abc", true));
  EXPECT_EQ(replay.head,
            "HTTP/1.1 201 Made It\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nLocation: /a%20b\r\n"
            "Idempotency-Replayed: true\r\nOncegate-Outcome: replayed\r\n");
  EXPECT_EQ(replay.body, "abc");
}

TEST(Messages, AChunkedAnswerIsReplayedWithALength) {
  const http::ResponseHead head = Parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(ResponseToStore(head, "abc", true).head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n");
}

TEST(Messages, AnswersWithoutABodyGetNoLength) {
  EXPECT_EQ(ResponseToStore(Parse("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"), "", true).head,
            "HTTP/1.1 204 No Content\r\nX: 1\r\n");
  EXPECT_EQ(ResponseToStore(Parse("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"), "", true).head,
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n");
}

TEST(Messages, A204HasNoLengthWhateverTheApplicationSays) {
  const http::ResponseHead head = Parse("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(ClientHead(head, Outcome::kExecuted), "HTTP/1.1 204 No Content\r\nOncegate-Outcome: executed\r\n");
}

TEST(Messages, AnOmittedBodyTakesItsDescriptionWithIt) {
  const http::ResponseHead head = Parse(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\nContent-Encoding: gzip\r\nETag: \"a\"\r\n"
      "Content-Digest: sha-256=:x:\r\nRepr-Digest: y\r\nDigest: z\r\n\r\n");
  EXPECT_EQ(ResponseToStore(head, "", false).head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nOncegate-Body: omitted\r\n");
}

TEST_F(GatewayTest, NoCredentialIsStored) {
  Start({.scope_header = "X-Tenant-Secret"});
  Send("POST",
       "Authorization: Bearer s3cret\r\nCookie: s3cret\r\nx-api-key: s3cret\r\nProxy-Authorization: s3cret\r\n"
       "X-Tenant-Secret: s3cret\r\nX-Kept: yes\r\nIdempotency-Key: evt_1\r\n")
      .Get();
  const auto page = store_.List({}, "", 10);
  ASSERT_EQ(page->records.size(), 1U);
  ASSERT_TRUE(page->records[0].request.has_value());
  EXPECT_EQ(page->records[0].request->fields, "Host: app\r\nX-Kept: yes\r\nIdempotency-Key: evt_1\r\n");
}

TEST_F(GatewayTest, RequestBodiesAreKeptUnlessTheOperatorSaysNo) {
  Start();
  Post("on", "", "body").Get();
  EXPECT_TRUE((*store_.Get(ScopedKey("default", "on"), RecordParts::kAll))->request->body_kept);
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(Route{.store_request_body = false})));
  Post("off", "", "body").Get();
  const auto record = *store_.Get(ScopedKey("default", "off"), RecordParts::kAll);
  EXPECT_FALSE(record->request->body_kept);
  EXPECT_EQ(record->request->body, "");
}

TEST_F(GatewayTest, AFormOfPartsIsNotKeptWhereFieldsAreRedacted) {
  Start({.redact_fields = {"card"}});
  const std::string parts = "--b\r\nContent-Disposition: form-data; name=\"card\"\r\n\r\n4111\r\n--b--\r\n";
  Post("parts", "Content-Type: Multipart/form-data; boundary=b\r\n", parts).Get();
  Post("form", "Content-Type: application/x-www-form-urlencoded\r\n", "card=4111&a=1").Get();
  const auto record = *store_.Get(ScopedKey("default", "parts"), RecordParts::kAll);
  EXPECT_FALSE(record->request->body_kept);
  EXPECT_EQ(record->request->body, "");
  EXPECT_EQ((*store_.Get(ScopedKey("default", "form"), RecordParts::kAll))->request->body, "card=%5Bredacted%5D&a=1");
}

TEST_F(GatewayTest, ALargeAnswerFlowsAndItsLastBytesWaitForTheStore) {
  Start({.max_stored_body = 4});
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    return ScriptedUpstream::Respond(receiver, 200, "Transfer-Encoding: chunked\r\nETag: \"a\"\r\n",
                                     {"abc", "defg", "hij", "last"});
  });
  Call call = PostHeld("evt_2");
  std::string when_stored;
  store_.on_complete = [&] {
    const std::lock_guard lock(call.state->mutex);
    when_stored = call.state->seen.body;
  };
  upstream_.OpenGate();
  const Seen seen = call.Get();
  EXPECT_EQ(when_stored, "abcdefghij");
  EXPECT_EQ(seen.body, "abcdefghijlast");
  EXPECT_TRUE(seen.whole);
  const Seen replay = Post("evt_2", "X-Hold: yes\r\n").Get();
  EXPECT_EQ(Verdict(replay), "200 replayed");
  EXPECT_EQ(replay.body, "");
  EXPECT_NE(replay.head.find("\r\nOncegate-Body: omitted\r\n"), std::string::npos) << replay.head;
  EXPECT_NE(replay.head.find("\r\nContent-Length: 0\r\n"), std::string::npos) << replay.head;
}

TEST_F(GatewayTest, ALargeAnswerThatBreaksOffCutsTheClientAndHoldsTheKey) {
  Start({.max_stored_body = 4});
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    ScriptedUpstream::Respond(receiver, 200, "Content-Length: 100\r\n", {"abcdefgh", "ijkl"});
    return ForwardResult{ForwardEnd::kBroken, "cut"};
  });
  const Seen seen = Post("evt_1").Get();
  EXPECT_EQ(seen.status, 200);
  EXPECT_EQ(seen.body, "abcdefgh") << "the last piece that came was held back";
  EXPECT_FALSE(seen.whole);
  EXPECT_EQ(Verdict(Post("evt_1").Get()), "409 outcome-unknown");
}

TEST_F(GatewayTest, AClientThatLeavesALargeDownloadIsNoErrorOfTheApplication) {
  Start();
  Call call;
  std::promise<void> sent;
  std::promise<void> left;
  upstream_.SetScript([&](const OutboundRequest&, ResponseReceiver& receiver) {
    http::ResponseHead head;
    http::HeadParser parser;
    parser.ParseResponse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", &head);
    EXPECT_TRUE(receiver.OnHead(std::move(head)));
    EXPECT_TRUE(receiver.OnBody("one"));
    sent.set_value();
    left.get_future().wait();
    EXPECT_FALSE(receiver.OnBody("two"));
    return ForwardResult{ForwardEnd::kStopped, "stopped"};
  });
  call = Send("GET", "");
  sent.get_future().wait();
  call.state->gone = true;
  left.set_value();
  EXPECT_FALSE(call.Get().whole);
  while (gateway_->in_flight() > 0) std::this_thread::yield();
  EXPECT_EQ(gateway_->meter().Total(Outcome::kPassed), 1U);
  EXPECT_EQ(gateway_->meter().Total(http::ErrorCode::kUpstreamBroken), 0U);
}

TEST_F(GatewayTest, AHeadRequestKeepsTheLengthItWasTold) {
  Start();
  upstream_.SetScript([](const OutboundRequest&, ResponseReceiver& receiver) {
    http::ResponseHead head;
    http::HeadParser parser;
    EXPECT_EQ(parser.ParseResponse("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "HEAD", &head),
              http::ParseState::kDone);
    receiver.OnHead(std::move(head));
    return ForwardResult{ForwardEnd::kAnswered, {}};
  });
  const Seen seen = Send("HEAD", "").Get();
  EXPECT_EQ(seen.head, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nOncegate-Outcome: passed\r\n");
}

}  // namespace
}  // namespace oncegate

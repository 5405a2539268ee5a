#include <algorithm>
#include <thread>

#include "control/api.h"
#include "control/response_json.h"
#include "tests/gateway/gateway_fixture.h"

namespace oncegate::control {
namespace {

class ClaimsApiTest : public GatewayTest {
 protected:
  ClaimsApiTest() {
    Start();
    api_ = std::make_unique<ControlApi>(
        ApiParts{.store = store_, .clock = clock_, .logger = logger_, .gateway = gateway_.get()});
  }
  ApiAnswer Ask(const std::string& target, const std::string& body) {
    return api_->Answer({.method = "POST", .target = target, .body = body, .actor = "tests"});
  }
  // "201", or "409 in-flight" for a problem.
  static std::string Verdict(const ApiAnswer& answer) {
    std::string verdict = std::to_string(answer.status);
    if (answer.content_type != http::kProblemContentType) return verdict;
    return verdict + " " + Text(answer.body, "code");
  }
  // The string that a member has.
  static std::string Text(const std::string& json, const std::string& name) {
    const std::string start = "\"" + name + "\":\"";
    const size_t at = json.find(start);
    if (at == std::string::npos) return "(none)";
    return json.substr(at + start.size(), json.find('"', at + start.size()) - at - start.size());
  }
  std::string Claim(const std::string& key, const std::string& more = {}) {
    const ApiAnswer answer = Ask("/v1/claims", R"({"key":")" + key + "\"" + more + "}");
    EXPECT_EQ(answer.status, 201) << answer.body;
    EXPECT_EQ(Text(answer.body, "outcome"), "execute");
    return Text(answer.body, "token");
  }
  std::string Act(const std::string& token, const std::string& action, const std::string& body = {}) {
    return Verdict(Ask("/v1/claims/" + token + "/" + action, body));
  }
  void LeaveUnknown(const std::string& key) {
    upstream_.Fail(ForwardEnd::kTimedOut);
    EXPECT_EQ(Post(key, {}, "body").Get().status, 504);
    AwaitEnd(key);
    upstream_.Answer(200, "order-1");
  }
  void AwaitEnd(const std::string& key) {
    while (gateway_->IsExecuting(ScopedKey("default", key))) std::this_thread::yield();
  }

  std::unique_ptr<ControlApi> api_;
};

TEST_F(ClaimsApiTest, ClaimsCompletesAndReplays) {
  const std::string token = Claim("a", R"(,"labels":{"order_id":"7"},"fingerprint":"f1","lease":"90s")");
  EXPECT_EQ(token.size(), 32U);
  EXPECT_EQ(Verdict(Ask("/v1/claims", R"({"key":"a"})")), "409 in-flight");
  EXPECT_EQ(Verdict(Ask("/v1/claims", R"({"key":"a","fingerprint":"f2"})")), "422 key-reused");
  const std::string outcome =
      R"({"status":201,"headers":[["X-A","1"],["x-a","2"],["Connection","close"],["Content-Length","99"]],"body":"ü"})";
  EXPECT_EQ(Act(token, "complete", outcome), "204");
  EXPECT_EQ(Act(token, "complete", outcome), "204") << "its first answer may have been lost";
  EXPECT_EQ(Act(token, "complete", R"({"status":202})"), "409 claim-lost");
  EXPECT_EQ(Act(token, "release"), "409 claim-lost");
  EXPECT_EQ(Act(token, "renew"), "409 claim-lost");
  const ApiAnswer replay = Ask("/v1/claims", R"({"key":"a","fingerprint":"f1"})");
  EXPECT_EQ(replay.status, 200);
  EXPECT_EQ(replay.body,
            R"({"outcome":"replay","response":{"status":201,"headers":[["X-A","1"],["x-a","2"]],"body":"ü"}})");
  const Seen seen = Post("a").Get();
  EXPECT_EQ(seen.status, 201);
  EXPECT_EQ(seen.body, "ü");
  EXPECT_NE(seen.head.find("Content-Length: 2\r\n"), std::string::npos) << seen.head;
  EXPECT_EQ(upstream_.executions(), 0U);
}

TEST_F(ClaimsApiTest, BytesThatAreNoTextComeBackAsBase64) {
  const std::string token = Claim("a");
  EXPECT_EQ(Act(token, "complete", R"({"status":200,"body_base64":"/wD+"})"), "204");
  EXPECT_NE(Ask("/v1/claims", R"({"key":"a"})").body.find(R"("body_base64":"/wD+")"), std::string::npos);
}

TEST_F(ClaimsApiTest, ABodyThatIsNotKeptIsSaidToBeOmitted) {
  const std::string token = Claim("a");
  const std::string outcome = R"({"status":200,"headers":[["X-A","1"],["ETag","\"x\""]],"body":null})";
  EXPECT_EQ(Act(token, "complete", outcome), "204");
  EXPECT_EQ(Act(token, "complete", outcome), "204") << "its first answer may have been lost";
  EXPECT_EQ(Act(token, "complete", R"({"status":200,"headers":[["X-A","1"]],"body":""})"), "409 claim-lost");
  EXPECT_EQ(Ask("/v1/claims", R"({"key":"a"})").body,
            R"({"outcome":"replay","response":{"status":200,"headers":[["X-A","1"],["Oncegate-Body","omitted"]],)"
            R"("body":null}})");
  const Seen seen = Post("a").Get();
  EXPECT_EQ(seen.status, 200);
  EXPECT_NE(seen.head.find("Content-Length: 0\r\n"), std::string::npos) << seen.head;
  EXPECT_NE(seen.head.find("Oncegate-Body: omitted\r\n"), std::string::npos) << seen.head;

  EXPECT_EQ(Act(Claim("b"), "complete", R"({"status":204,"body":null})"), "204");
  EXPECT_EQ(Ask("/v1/claims", R"({"key":"b"})").body,
            R"({"outcome":"replay","response":{"status":204,"headers":[],"body":""}})");
}

TEST_F(ClaimsApiTest, ARestoredStoreThatHoldsIsToldFromOneThatCannotAnswer) {
  store_.restored = {.policy = RestoredPolicy::kHold, .taken_at_ms = 1000, .until_ms = 2000};
  const ApiAnswer held = Ask("/v1/claims", R"({"key":"a"})");
  EXPECT_EQ(Verdict(held), "503 store-unavailable");
  const std::pair<std::string, std::string> mark("Oncegate-Restored", "hold");
  EXPECT_NE(std::find(held.fields.begin(), held.fields.end(), mark), held.fields.end());
}

TEST_F(ClaimsApiTest, ARepeatedClaimIdGetsTheSameToken) {
  const std::string token = Claim("a", R"(,"claim_id":"w1")");
  EXPECT_EQ(Claim("a", R"(,"claim_id":"w1")"), token);
  EXPECT_EQ(Verdict(Ask("/v1/claims", R"({"key":"a","claim_id":"w2"})")), "409 in-flight");
  EXPECT_EQ(gateway_->meter().Total(Outcome::kExecuted), 1U);
}

TEST_F(ClaimsApiTest, RenewsAndReleases) {
  const std::string token = Claim("a");
  const ApiAnswer renewed = Ask("/v1/claims/" + token + "/renew", R"({"lease":"2h"})");
  EXPECT_EQ(renewed.status, 200);
  EXPECT_NE(Text(renewed.body, "lease_expires_at"), "(none)") << renewed.body;
  EXPECT_EQ(Act(token, "renew"), "200");
  EXPECT_EQ(Act(token, "release"), "204");
  EXPECT_EQ(Act(token, "release"), "409 claim-lost");
  EXPECT_EQ(Act(token, "complete", R"({"status":200})"), "409 claim-lost");
  EXPECT_NE(Claim("a"), token);
}

TEST_F(ClaimsApiTest, RefusesWhatMakesNoSenseByName) {
  struct Row {
    std::string body;
    std::string verdict;
    std::string named;
  };
  const std::string deep = "{\"key\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  const std::string long_text(2000, 'x');
  const Row rows[] = {
      {"", "400 bad-request", "JSON"},
      {"[]", "400 bad-request", "JSON"},
      {"{\"key\":\"a\"", "400 bad-request", "JSON"},
      {"{\"key\":\"a\"} x", "400 bad-request", "JSON"},
      {"{\"key\":\"\xff\"}", "400 bad-request", "JSON"},
      {deep, "400 bad-request", "JSON"},
      {R"({})", "400 missing-key", "'key'"},
      {R"({"key":""})", "400 missing-key", "'key'"},
      {R"({"key":"a b"})", "400 invalid-key", "'key'"},
      {R"({"key":"a\u0000b"})", "400 invalid-key", "'key'"},
      {R"({"key":")" + long_text + "\"}", "400 invalid-key", "'key'"},
      {R"({"key":7})", "400 bad-request", "'key'"},
      {R"({"key":null})", "400 bad-request", "'key'"},
      {R"({"key":"a","key":"b"})", "400 bad-request", "'key' is repeated"},
      {R"({"key":"a","keys":"b"})", "400 bad-request", "'keys'"},
      {R"({"key":"a","scope":"a/b"})", "400 bad-request", "'scope'"},
      {R"({"key":"a","scope":""})", "400 bad-request", "'scope'"},
      {R"({"key":"a","claim_id":""})", "400 bad-request", "'claim_id'"},
      {R"({"key":"a","claim_id":")" + long_text + "\"}", "400 bad-request", "'claim_id'"},
      {R"({"key":"a","claim_id":{}})", "400 bad-request", "'claim_id'"},
      {R"({"key":"a","fingerprint":1})", "400 bad-request", "'fingerprint'"},
      {R"({"key":"a","type":"a\nb"})", "400 bad-request", "'type'"},
      {R"({"key":"a","ttl":60})", "400 bad-request", "'ttl'"},
      {R"({"key":"a","ttl":"60"})", "400 bad-request", "'ttl'"},
      {R"({"key":"a","ttl":"0s"})", "400 bad-request", "'ttl'"},
      {R"({"key":"a","lease":"999ms"})", "400 bad-request", "'lease'"},
      {R"({"key":"a","lease":"25h"})", "400 bad-request", "'lease'"},
      {R"({"key":"a","wait":"61s"})", "400 bad-request", "'wait'"},
      {R"({"key":"a","wait":"-1s"})", "400 bad-request", "'wait'"},
      {R"({"key":"a","on_lease_expiry":"release"})", "400 bad-request", "'on_lease_expiry'"},
      {R"({"key":"a","labels":[]})", "400 bad-request", "'labels'"},
      {R"({"key":"a","labels":{"a":1}})", "400 bad-request", "'labels.a'"},
      {R"({"key":"a","labels":{"":"1"}})", "400 bad-request", "'labels'"},
      {R"({"key":"a","labels":{"a:b":"1"}})", "400 bad-request", "'labels'"},
      {R"({"key":"a","labels":{"~signed":"1"}})", "400 bad-request", "'labels'"},
      {R"({"key":"a","labels":{"a":"1","a":"2"}})", "400 bad-request", "'labels'"},
  };
  for (const Row& row : rows) {
    const ApiAnswer answer = Ask("/v1/claims", row.body);
    EXPECT_EQ(Verdict(answer), row.verdict) << row.body.substr(0, 80);
    EXPECT_NE(answer.body.find(row.named), std::string::npos) << row.body.substr(0, 80) << ": " << answer.body;
  }
  EXPECT_EQ(store_.claims, 0);
}

TEST_F(ClaimsApiTest, RefusesOutcomesThatAreNone) {
  const std::string token = Claim("a");
  const std::pair<std::string, std::string> rows[] = {
      {"", "object"},
      {"{}", "'status'"},
      {R"({"status":"200"})", "'status'"},
      {R"({"status":199})", "'status'"},
      {R"({"status":600})", "'status'"},
      {R"({"status":200.5})", "'status'"},
      {R"({"status":200,"headers":{"A":"b"}})", "'headers'"},
      {R"({"status":200,"headers":[["A"]]})", "'headers'"},
      {R"({"status":200,"headers":[["A","b","c"]]})", "'headers'"},
      {R"({"status":200,"headers":[["A b","c"]]})", "'headers'"},
      {R"({"status":200,"headers":[["A","b\r\nC: d"]]})", "'headers'"},
      {R"({"status":200,"body":{}})", "'body'"},
      {R"({"status":200,"body":"a","body_base64":"YQ=="})", "exclude"},
      {R"({"status":200,"body":null,"body_base64":"YQ=="})", "exclude"},
      {R"({"status":200,"body_base64":null})", "'body_base64'"},
      {R"({"status":200,"body_base64":"YQ"})", "'body_base64'"},
      {R"({"status":200,"body_base64":"Y=Q="})", "'body_base64'"},
      {R"({"status":204,"body":"a"})", "no body"},
      {R"({"status":200,"reason":"OK"})", "'reason'"},
  };
  for (const auto& [body, named] : rows) {
    const ApiAnswer answer = Ask("/v1/claims/" + token + "/complete", body);
    EXPECT_EQ(Verdict(answer), "400 bad-request") << body;
    EXPECT_NE(answer.body.find(named), std::string::npos) << body << ": " << answer.body;
  }
  const std::string never(32, '0');
  EXPECT_EQ(Act(never, "complete", R"({"status":200})"), "409 claim-lost");
  EXPECT_EQ(Act("abc", "complete", R"({"status":200})"), "404 not-found");
  EXPECT_EQ(Act(token, "finish"), "404 not-found");
  EXPECT_EQ(Act(token, "renew", R"({"lease":"60"})"), "400 bad-request");
  EXPECT_EQ(Act(token, "release", R"({"a":1})"), "400 bad-request");
  EXPECT_EQ(Act(token, "complete", R"({"status":200})"), "204");
}

TEST_F(ClaimsApiTest, ResolvesWhatIsUnknown) {
  LeaveUnknown("done");
  const std::string target = "/v1/records/default/";
  EXPECT_EQ(Verdict(Ask(target + "done/resolve", R"({"as":"completed","response":{"status":202,"body":"ok"}})")),
            "204");
  EXPECT_EQ(GatewayTest::Verdict(Post("done", {}, "body").Get()), "202 replayed");
  EXPECT_EQ(Verdict(Ask(target + "done/resolve", R"({"as":"released"})")), "400 bad-request");

  LeaveUnknown("again");
  EXPECT_EQ(Verdict(Ask(target + "again/resolve", R"({"as":"released"})")), "204");
  EXPECT_EQ(GatewayTest::Verdict(Post("again", {}, "body").Get()), "200 executed");

  LeaveUnknown("plain");
  EXPECT_EQ(Verdict(Ask(target + "plain/resolve", R"({"as":"completed"})")), "204");
  EXPECT_EQ(GatewayTest::Verdict(Post("plain", {}, "body").Get()), "200 replayed");

  Claim("claimed");
  EXPECT_EQ(Verdict(Ask(target + "claimed/resolve", R"({"as":"released"})")), "409 in-flight");
  EXPECT_EQ(Verdict(Ask(target + "none/resolve", R"({"as":"released"})")), "404 not-found");
  for (const char* body :
       {"", "{}", R"({"as":"done"})", R"({"as":1})", R"({"as":"released","response":{"status":200}})",
        R"({"as":"completed","response":[]})", R"({"as":"completed","x":1})"})
    EXPECT_EQ(Verdict(Ask(target + "plain/resolve", body)), "400 bad-request") << body;
}

TEST_F(ClaimsApiTest, Redelivers) {
  LeaveUnknown("a");
  const std::string target = "/v1/records/default/a/redeliver";
  upstream_.Fail(ForwardEnd::kNotSent);
  EXPECT_EQ(Verdict(Ask(target, {})), "502 upstream-unreachable");
  upstream_.Answer(201, "made");
  EXPECT_EQ(Ask(target, {}).body, R"({"outcome":"executed","status":201,"state":"completed","attempt":2})");
  EXPECT_EQ(GatewayTest::Verdict(Post("a", {}, "body").Get()), "201 replayed");
  EXPECT_EQ(Verdict(Ask(target, {})), "409 not-redeliverable");
  EXPECT_EQ(Verdict(Ask(target + "?force=true", {})), "200");
  EXPECT_EQ(Verdict(Ask(target + "?force=maybe", {})), "400 bad-request");
  EXPECT_EQ(Verdict(Ask("/v1/records/default/none/redeliver", {})), "404 not-found");

  const std::string token = Claim("sidecar");
  EXPECT_EQ(Verdict(Ask("/v1/records/default/sidecar/redeliver", {})), "409 in-flight");
  EXPECT_EQ(Act(token, "complete", R"({"status":200})"), "204");
  EXPECT_EQ(Verdict(Ask("/v1/records/default/sidecar/redeliver?force=true", {})), "409 not-redeliverable");
}

TEST_F(ClaimsApiTest, AReadOnlyTokenSeesNoBodies) {
  EXPECT_EQ(GatewayTest::Verdict(Post("a", {}, "the request").Get()), "200 executed");
  const auto ask = [&](const std::string& target, bool read_only) {
    return api_->Answer({.method = "GET", .target = target, .body = {}, .actor = {}, .read_only = read_only});
  };
  EXPECT_NE(ask("/v1/records/default/a", false).body.find("the request"), std::string::npos);
  const ApiAnswer bodiless = ask("/v1/records/default/a", true);
  EXPECT_EQ(bodiless.status, 200);
  EXPECT_EQ(bodiless.body.find("the request"), std::string::npos) << bodiless.body;
  EXPECT_EQ(bodiless.body.find("order-1"), std::string::npos) << bodiless.body;
  EXPECT_EQ(Verdict(ask("/v1/records?bodies=true", true)), "401 unauthorized");
}

}  // namespace
}  // namespace oncegate::control

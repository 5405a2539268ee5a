#include "control/api.h"

#include <algorithm>
#include <thread>

#include "control/dashboard.h"
#include "tests/gateway/gateway_fixture.h"

namespace oncegate::control {
namespace {

class ApiTest : public GatewayTest {
 protected:
  ApiTest() { Start(); }

  ApiParts Parts() { return {.store = store_, .clock = clock_, .logger = logger_, .gateway = gateway_.get()}; }
  ControlApi& api() {
    if (!api_) api_ = std::make_unique<ControlApi>(Parts());
    return *api_;
  }
  ApiAnswer Ask(const std::string& method, const std::string& target, const std::string& body = {}) {
    return api().Answer({.method = method, .target = target, .body = body, .actor = {}});
  }
  // Executes the key, until nobody holds it any more: the answer comes a moment before that.
  void Execute(const std::string& key) {
    Post(key).Get();
    while (gateway_->IsExecuting(ScopedKey("default", key))) std::this_thread::yield();
  }
  // "200", or "404 not-found" for a problem.
  std::string Verdict(const std::string& method, const std::string& target) {
    const ApiAnswer answer = Ask(method, target);
    std::string verdict = std::to_string(answer.status);
    if (answer.content_type != http::kProblemContentType) return verdict;
    const size_t at = answer.body.find(R"("code":")") + 8;
    return verdict + " " + answer.body.substr(at, answer.body.find('"', at) - at);
  }

  std::unique_ptr<ControlApi> api_;
};

TEST_F(ApiTest, RoutesByMethodAndPath) {
  Execute("evt/1");
  struct Row {
    std::string method;
    std::string target;
    std::string wanted;
  };
  const Row rows[] = {
      {"GET", "/healthz", "200"},
      {"HEAD", "/healthz", "200"},
      {"GET", "/readyz", "200"},
      {"GET", "/v1/stats", "200"},
      {"GET", "/v1/records", "200"},
      {"GET", "/v1/records/default/evt%2F1", "200"},
      {"GET", "/v1/records/default/evt%2f1", "200"},
      {"GET", "/v1/records/default/evt%252F1", "404 not-found"},
      {"GET", "/v1/records/default/evt/1", "404 not-found"},
      {"GET", "/v1/records/other/evt%2F1", "404 not-found"},
      {"GET", "/v1/records/default/none", "404 not-found"},
      {"GET", "/v1/records/default/", "404 not-found"},
      {"GET", "/v1/records/default", "404 not-found"},
      {"GET", "/v1/records/default/%00", "404 not-found"},
      {"GET", "/v1/records/default/a%ZZ", "400 bad-request"},
      {"GET", "/v1/records/a%00b/c", "404 not-found"},
      {"POST", "/v1/cleanup", "200"},
      {"GET", "/v1/cleanup", "404 not-found"},
      {"POST", "/v1/stats", "404 not-found"},
      {"PUT", "/v1/records/default/evt%2F1", "404 not-found"},
      {"OPTIONS", "/v1/stats", "404 not-found"},
      {"GET", "/v1/stats/", "404 not-found"},
      {"GET", "/v1", "404 not-found"},
      {"GET", "/nothing", "404 not-found"},
      {"GET", "//v1/stats", "404 not-found"},
      {"DELETE", "/v1/records/default/none", "404 not-found"},
      {"DELETE", "/v1/records/default/evt%2F1", "204"},
      {"DELETE", "/v1/records/default/evt%2F1", "404 not-found"},
  };
  for (const Row& row : rows) EXPECT_EQ(Verdict(row.method, row.target), row.wanted) << row.method << " " << row.target;
}

TEST_F(ApiTest, ServesTheDashboardsFilesAndNothingElse) {
  const ApiAnswer page = Ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(page.body.starts_with("<!doctype html>")) << page.body.substr(0, 40);
  ASSERT_GE(DashboardFiles().size(), 3U);
  for (const EmbeddedFile& file : DashboardFiles()) {
    if (file.name == "index.html") continue;
    const std::string path = "/assets/" + std::string(file.name);
    EXPECT_EQ(Ask("GET", path).body, file.text) << path;
    EXPECT_NE(Ask("GET", path).content_type, "text/plain; charset=utf-8") << path;
    EXPECT_NE(file.text.find('\n'), std::string_view::npos) << path;
  }
  for (const char* path : {"/index.html", "/assets/index.html", "/assets/", "/assets", "/assets/%2e%2e", "/assets/a/b"})
    EXPECT_EQ(Verdict("GET", path), "404 not-found") << path;
}

TEST_F(ApiTest, ADashboardFileThatTheBrowserHasIsNotSentAgain) {
  const auto etag_of = [](const ApiAnswer& answer) {
    const auto is_etag = [](const auto& field) { return field.first == "ETag"; };
    return std::find_if(answer.fields.begin(), answer.fields.end(), is_etag)->second;
  };
  const std::string etag = etag_of(Ask("GET", "/"));
  EXPECT_NE(etag, etag_of(Ask("GET", "/assets/app.js")));
  const auto status_if = [this](const std::string& none_match) {
    return api().Answer({.method = "GET", .target = "/", .body = {}, .actor = {}, .if_none_match = none_match}).status;
  };
  EXPECT_EQ(status_if(etag), 304);
  EXPECT_EQ(status_if("\"other\", W/" + etag), 304);
  EXPECT_EQ(status_if("\"other\""), 200);
  EXPECT_EQ(status_if("*"), 200);
}

TEST_F(ApiTest, SaysWhomATokenStandsFor) {
  EXPECT_EQ(Ask("GET", "/v1/session").body, R"({"name":null,"read_only":false})");
  const ApiAnswer watch = api().Answer(
      {.method = "GET", .target = "/v1/session", .body = {}, .actor = "watch", .read_only = true, .if_none_match = {}});
  EXPECT_EQ(watch.body, R"({"name":"watch","read_only":true})");
}

TEST_F(ApiTest, RefusesParametersThatItDoesNotKnowByName) {
  const std::pair<std::string, std::string> rows[] = {
      {"/v1/records?limit=0", "'limit'"},
      {"/v1/records?limit=1001", "'limit'"},
      {"/v1/records?limit=ten", "'limit'"},
      {"/v1/records?limit=-1", "'limit'"},
      {"/v1/records?state=done", "'state'"},
      {"/v1/records?scope=a%2Fb", "'scope'"},
      {"/v1/records?prefix=a+b", "'prefix'"},
      {"/v1/records?label=order", "'label'"},
      {"/v1/records?label=:7", "'label'"},
      {"/v1/records?cursor=junk", "'cursor'"},
      {"/v1/records?Limit=1", "'Limit'"},
      {"/v1/records?page=2", "'page'"},
      {"/v1/records?limit=1&limit=2", "'limit'"},
      {"/v1/stats?verbose", "'verbose'"},
      {"/healthz?x=1", "'x'"},
  };
  for (const auto& [target, named] : rows) {
    EXPECT_EQ(Verdict("GET", target), "400 bad-request") << target;
    EXPECT_NE(Ask("GET", target).body.find(named), std::string::npos) << target << ": " << Ask("GET", target).body;
  }
  EXPECT_EQ(Verdict("DELETE", "/v1/records/default/a?force=yes"), "400 bad-request");
  EXPECT_EQ(Verdict("DELETE", "/v1/records/default/a?forced=true"), "400 bad-request");
  for (const char* target : {"/v1/records?limit=1", "/v1/records?limit=1000", "/v1/records?scope=&type=&state=&cursor=",
                             "/v1/records?prefix=a%2Bb", "/v1/records?label=order:7:8&state=unknown"})
    EXPECT_EQ(Verdict("GET", target), "200") << target;
}

TEST_F(ApiTest, CountsReplaysThatAreNotYetWrittenDown) {
  Post("a").Get();
  Post("a").Get();
  Post("a").Get();
  const std::string json = Ask("GET", "/v1/records/default/a").body;
  EXPECT_NE(json.find(R"("replays":2)"), std::string::npos) << json;
  const std::string stats = Ask("GET", "/v1/stats").body;
  EXPECT_NE(stats.find(R"("executed":1,"replayed":2,)"), std::string::npos) << stats;
}

TEST_F(ApiTest, RefusesToReleaseWhatIsBeingExecutedUnlessForced) {
  Call call = PostHeld("a");
  upstream_.AwaitRequests(1);
  const std::string json = Ask("GET", "/v1/records/default/a").body;
  EXPECT_NE(json.find(R"("state":"in_progress")"), std::string::npos) << json;
  EXPECT_EQ(Verdict("DELETE", "/v1/records/default/a"), "409 in-flight");
  EXPECT_EQ(Verdict("DELETE", "/v1/records/default/a?force=false"), "409 in-flight");
  EXPECT_EQ(Verdict("DELETE", "/v1/records/default/a?force=true"), "204");
  upstream_.OpenGate();
  call.Get();
  EXPECT_EQ(Verdict("GET", "/v1/records/default/a"), "404 not-found") << "the fenced owner brought it back";
}

TEST_F(ApiTest, NamesAnUnreachableApplicationAndStaysReady) {
  ManualClock time(1'795'469'039'123);
  ApiParts parts{.store = store_, .clock = time, .logger = logger_};
  int probes = 0;
  parts.probe_upstream = [&](int64_t) {
    ++probes;
    return Unavailable("connection refused");
  };
  api_ = std::make_unique<ControlApi>(parts);
  const ApiAnswer answer = Ask("GET", "/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"status":"ready","reason":null,"upstream":"unreachable: connection refused"})");
  time.Advance(ControlApi::kProbeCachedMs - 1);
  Ask("GET", "/readyz");
  EXPECT_EQ(probes, 1) << "the application is asked once a second";
  time.Advance(1);
  Ask("GET", "/readyz");
  EXPECT_EQ(probes, 2);
}

TEST_F(ApiTest, IsNotReadyWhileTheStoreCannotWriteOrTheServerDrains) {
  EXPECT_EQ(Ask("GET", "/readyz").body, R"({"status":"ready","reason":null,"upstream":"none"})");
  store_.fail_claims = true;
  ApiAnswer answer = Ask("GET", "/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body,
            R"({"status":"not ready","reason":"the disk of the store is full or nearly so","upstream":"none"})");
  store_.fail_claims = false;
  store_.damaged = true;
  answer = Ask("GET", "/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, R"({"status":"not ready","reason":"the store is damaged","upstream":"none"})");
  store_.damaged = false;
  api().StartDraining();
  answer = Ask("GET", "/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, R"({"status":"not ready","reason":"draining","upstream":"none"})");
  EXPECT_EQ(Verdict("GET", "/healthz"), "200");
}

TEST_F(ApiTest, TellsNothingOfTheStoresMessagesWhenItFails) {
  store_.fail_gets = true;
  const ApiAnswer answer = Ask("GET", "/v1/records/default/a");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body.find("reads fail"), std::string::npos) << answer.body;
  EXPECT_EQ(answer.fields, (std::vector<std::pair<std::string, std::string>>{{"Retry-After", "5"}}));
}

TEST_F(ApiTest, SaysWhatACleanupRemoved) {
  ManualClock time(1'795'469'039'123);
  FakeStore store(time);
  const ScopedKey key("default", "a");
  const Result<ClaimResult> claim = store.Claim({.key = key, .ttl_ms = 1000}, {});
  ASSERT_TRUE(claim.ok() && store.Complete(key, std::get<Claimed>(*claim).token, {}).ok());
  api_ = std::make_unique<ControlApi>(ApiParts{.store = store, .clock = time, .logger = logger_});
  EXPECT_EQ(Ask("POST", "/v1/cleanup").body, R"({"removed":0,"bytes_reclaimed":0,"seconds":0})");
  time.Advance(1000);
  EXPECT_EQ(Ask("POST", "/v1/cleanup").body, R"({"removed":1,"bytes_reclaimed":0,"seconds":0})");
}

TEST_F(ApiTest, BacksUpWhereItIsTold) {
  EXPECT_EQ(Ask("POST", "/v1/backups", R"({"dir":"/backups","keep":7})").body.find(R"({"id":3,"taken_at":")"), 0U);
  for (const char* body : {"", "[]", "{}", R"({"dir":"backups"})", R"({"dir":7})", R"({"dir":"/b","keep":-1})",
                           R"({"dir":"/b","keep":"7"})", R"({"dir":"/b","hold":1})", R"({"dir":"/b\u0000c"})"})
    EXPECT_EQ(Ask("POST", "/v1/backups", body).status, 400) << body;
  store_.fail_claims = true;  // the directory is no good
  const ApiAnswer answer = Ask("POST", "/v1/backups", R"({"dir":"/backups"})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find("/backups is no good"), std::string::npos) << answer.body;
}

TEST_F(ApiTest, SaysWhatAVerificationFound) {
  EXPECT_EQ(Ask("POST", "/v1/verify").body,
            R"({"records":0,"index_entries":0,"bodies":0,"leftover_bodies":0,"differences_total":0,"differences":[],)"
            R"("seconds":0})");
  store_.damaged = true;
  EXPECT_NE(Ask("POST", "/v1/verify").body.find(R"("differences":["the record is damaged"])"), std::string::npos);
}

TEST_F(ApiTest, ImportsWhatItCanAndSaysWhatItCannot) {
  const std::string lines =
      "{\"key\":\"a\",\"status\":200,\"body\":\"one\",\"expires\":4000000000}\r\n\n"
      "nonsense\n{\"key\":\"b\",\"status\":200,\"expires\":1}";
  EXPECT_EQ(
      Ask("POST", "/v1/import?scope=shop", lines).body,
      R"({"imported":1,"existing":0,"expired":1,"rejected":[{"line":3,"reason":"the line is not one JSON object"}]})");
  EXPECT_NE(Ask("GET", "/v1/records/shop/a").body.find(R"("body":"one")"), std::string::npos);
  EXPECT_EQ(Ask("POST", "/v1/import", std::string(2000, '\n') + "{}").status, 400);
  store_.fail_claims = true;
  EXPECT_EQ(Ask("POST", "/v1/import", lines).status, 503);
}

TEST_F(ApiTest, ListsWithBodiesWhereThatIsAskedFor) {
  Execute("a");
  const std::string json = Ask("GET", "/v1/records?bodies=true").body;
  EXPECT_NE(json.find(R"("body":"order-1")"), std::string::npos) << json;
  EXPECT_EQ(Ask("GET", "/v1/records?bodies=yes").status, 400);
  EXPECT_EQ(Ask("GET", "/v1/records?bodies=true&cursor=x").status, 400);
}

// An export is what saves the rest of a damaged store.
TEST_F(ApiTest, ADamagedBodyDoesNotEndAListingWithBodies) {
  Execute("a");
  store_.damaged = true;
  const ApiAnswer answer = Ask("GET", "/v1/records?bodies=true");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find(R"("key":"a")"), std::string::npos) << answer.body;
  EXPECT_NE(answer.body.find(R"("body":null)"), std::string::npos) << answer.body;
}

TEST_F(ApiTest, SaysThatTheStoreIsARestoredOne) {
  store_.restored = {.policy = RestoredPolicy::kAccept, .taken_at_ms = 1000, .until_ms = 2000};
  EXPECT_EQ(Ask("GET", "/readyz").body, R"({"status":"ready","reason":null,"restored":"accept","upstream":"none"})");
  EXPECT_NE(Ask("GET", "/v1/stats").body.find(R"("restored":{"policy":"accept","taken_at":"1970-01-01T00:00:01.000Z")"),
            std::string::npos);
}

TEST_F(ApiTest, ListsWithoutBodies) {
  Post("a").Get();
  const std::string json = Ask("GET", "/v1/records?type=webhook").body;
  EXPECT_EQ(json.find(R"("body)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("next_cursor":null})"), std::string::npos) << json;
  EXPECT_EQ(Ask("GET", "/v1/records?type=other").body, R"({"records":[],"next_cursor":null})");
}

}  // namespace
}  // namespace oncegate::control

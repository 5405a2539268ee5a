#include "control/record_json.h"

#include <gtest/gtest.h>

namespace oncegate::control {
namespace {

std::string Json(const Record& record, const RecordView& view = {}) {
  JsonWriter json;
  WriteRecord(record, view, &json);
  return json.Take();
}

Record MakeRecord() {
  Record record;
  for (uint8_t i = 0; i < 16; ++i) record.id[i] = i;
  record.key = ScopedKey("shop", "evt/1");
  record.type = "order.paid";
  record.state = RecordState::kCompleted;
  record.attempt = 2;
  record.created_at_ms = 1'795'469'039'123;
  record.completed_at_ms = 1'795'469'040'000;
  record.expires_at_ms = 1'795'555'440'000;
  record.source_ip = "192.0.2.7";
  record.fingerprint = Fingerprint{.recipe = FingerprintRecipe::kWholeRequest, .digest = {0xab, 0x01}};
  record.labels = {{"order_id", "7\"8"}};
  record.replays = 3;
  record.first_replay_at_ms = 1'795'469'041'000;
  record.history = {{1'795'469'039'500, "ada", HistoryAction::kRedelivered, "attempt 2"},
                    {1'795'469'040'000, "", HistoryAction::kResolved, "completed with status 201"}};
  record.request = StoredRequest{.method = "POST",
                                 .target = "/hook?x=1",
                                 .fields = "Host: app\r\nX-A:  b \r\nX-A: c\r\n",
                                 .body = "{}",
                                 .body_kept = true};
  record.response = StoredResponse{
      .status = 201, .head = "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n", .body = "\xff", .body_kept = true};
  return record;
}

TEST(RecordJsonTest, ShowsAllOfARecord) {
  EXPECT_EQ(
      Json(MakeRecord(), {.pending_replays = {2, 1'795'469'042'000, 1'795'469'042'500}}),
      R"({"id":"00010203-0405-0607-0809-0a0b0c0d0e0f","scope":"shop","key":"evt/1","type":"order.paid",)"
      R"("state":"completed","attempt":2,"created_at":"2026-11-23T21:23:59.123Z",)"
      R"("completed_at":"2026-11-23T21:24:00.000Z","expires_at":"2026-11-24T21:24:00.000Z",)"
      R"("source_ip":"192.0.2.7","fingerprint":"ab01000000000000000000000000000000000000000000000000000000000000",)"
      R"("fingerprint_recipe":"whole_request","labels":{"order_id":"7\"8"},"replays":5,)"
      R"("first_replay_at":"2026-11-23T21:24:01.000Z","last_replay_at":"2026-11-23T21:24:02.500Z",)"
      R"("history":[{"at":"2026-11-23T21:23:59.500Z","by":"ada","action":"redelivered","detail":"attempt 2"},)"
      R"({"at":"2026-11-23T21:24:00.000Z","by":null,"action":"resolved","detail":"completed with status 201"}],)"
      R"("request":{"method":"POST","target":"/hook?x=1",)"
      R"("headers":[["Host","app"],["X-A","b"],["X-A","c"]],"body":"{}"},)"
      R"("response":{"status":201,"headers":[["Content-Type","text/plain"]],"body_base64":"/w=="}})");
}

TEST(RecordJsonTest, ShowsNullForWhatIsAbsent) {
  Record record;
  record.key = ScopedKey("default", "a");
  record.state = RecordState::kUnknown;
  EXPECT_EQ(Json(record),
            R"({"id":"00000000-0000-0000-0000-000000000000","scope":"default","key":"a","type":"","state":"unknown",)"
            R"("attempt":1,"created_at":null,"completed_at":null,"expires_at":null,"source_ip":null,)"
            R"("fingerprint":null,"labels":{},"replays":0,"first_replay_at":null,)"
            R"("last_replay_at":null,"history":[],"request":null,"response":null})");
}

TEST(RecordJsonTest, SaysWhichBodiesWereNotKeptAndLeavesThemOutOfListings) {
  Record record = MakeRecord();
  record.request->body_kept = false;
  record.response->body_kept = false;
  const std::string json = Json(record);
  EXPECT_NE(json.find(R"(["X-A","c"]],"body":null})"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("text/plain"]],"body":null})"), std::string::npos) << json;
  EXPECT_EQ(Json(record, {.with_bodies = false}).find("body"), std::string::npos);
}

TEST(RecordJsonTest, NeverShowsSignaturesAndCredentials) {
  for (const char* name :
       {"Stripe-Signature", "X-Hub-Signature-256", "x-shopify-hmac-sha256", "Authorization", "Proxy-Authorization",
        "Cookie", "Set-Cookie", "X-Gitlab-Token", "X-Api-Key", "X-APIKEY", "X_API_KEY", "Client-Secret", "X-Password"})
    EXPECT_FALSE(IsShownField(name)) << name;
  for (const char* name : {"Host", "Content-Type", "Idempotency-Key", "X-Request-Id"})
    EXPECT_TRUE(IsShownField(name)) << name;
  Record record = MakeRecord();
  record.request->fields = "X-Hub-Signature: s3cret\r\nX-B: c\r\n";
  const std::string json = Json(record);
  EXPECT_EQ(json.find("s3cret"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("headers":[["X-B","c"]])"), std::string::npos) << json;
}

TEST(RecordJsonTest, SignaturesInBodiesAreNotShownEither) {
  const std::pair<std::string, std::string> rows[] = {
      {R"x({"Message":"m","Signature" : "AbC=","SignatureVersion":"1"})x",
       R"x({"Message":"m","Signature" : "(hidden)","SignatureVersion":"1"})x"},
      {R"x([{"additionalData":{"hmacSignature":"a\"b","x":"signature"}}])x",
       R"x([{"additionalData":{"hmacSignature":"(hidden)","x":"signature"}}])x"},
      {R"x({"signature":{"token":"t","signature":"s"}})x", R"x({"signature":{"token":"t","signature":"(hidden)"}})x"},
      {R"x({"a":"Signature:","b":["signature","c"],"signature":7})x",
       R"x({"a":"Signature:","b":["signature","c"],"signature":7})x"},
      {R"x({"signature":"cut)x", R"x({"signature":"cut)x"},
      {"bt_signature=a%7Cb&bt_payload=c", "bt_signature=(hidden)&bt_payload=c"},
      {"signature", "signature"},
      {R"x({"order":42})x", R"x({"order":42})x"},
  };
  for (const auto& [body, shown] : rows) EXPECT_EQ(ShownBody(body), shown) << body;
  Record record = MakeRecord();
  record.request->body = rows[0].first;
  EXPECT_EQ(Json(record).find("AbC="), std::string::npos);
}

TEST(RecordJsonTest, InProgressWithoutSomebodyWhoExecutesIsUnknown) {
  struct Row {
    RecordState state;
    ClaimOwner owner;
    bool executing;
    int64_t lease_left_ms;
    RecordState wanted;
  };
  constexpr auto kGateway = ClaimOwner::kGateway;
  constexpr auto kSidecar = ClaimOwner::kSidecar;
  const Row rows[] = {
      {RecordState::kInProgress, kGateway, true, 0, RecordState::kInProgress},
      {RecordState::kInProgress, kGateway, false, 0, RecordState::kUnknown},
      {RecordState::kInProgress, kSidecar, false, 1, RecordState::kInProgress},
      {RecordState::kInProgress, kSidecar, true, 0, RecordState::kUnknown},
      {RecordState::kCompleted, kGateway, true, 0, RecordState::kCompleted},
      {RecordState::kUnknown, kGateway, true, 0, RecordState::kUnknown},
  };
  for (const Row& row : rows) {
    Record record = MakeRecord();
    record.state = row.state;
    record.owner = row.owner;
    record.lease_expires_at_ms = 1000 + row.lease_left_ms;
    EXPECT_EQ(EffectiveState(record, {.executing = row.executing, .now_ms = 1000}), row.wanted)
        << "row " << &row - rows;
  }
}

TEST(StatsJsonTest, HasTheShapeOfTheContract) {
  StoreStats stats;
  stats.now_ms = 1'795'469'039'123;
  stats.active = 6;
  stats.expired = 1;
  stats.in_progress = 2;
  stats.completed = 3;
  stats.unknown = 1;
  stats.by_type = {{"webhook", 6, 1}};
  stats.expiring = {{1'795'469'040'000, 4}};
  stats.exact = true;
  stats.disk_bytes = 10;
  stats.wal_bytes = 11;
  stats.memory_bytes = 12;
  stats.free_bytes = 13;
  const SystemClock clock;
  RequestMeter meter(clock);
  meter.Count({.outcome = Outcome::kExecuted, .route_scope = "default"});
  for (int i = 0; i < 3; ++i) meter.Count({.outcome = Outcome::kReplayed, .route_scope = "default"});
  meter.Count({.outcome = http::ErrorCode::kInFlight, .route_scope = "default"});
  LatencyWindow::Reading latency{.window_ms = 60'500, .replayed = {}, .executed = {}};
  latency.replayed.buckets[2] = 100;  // from 50 to 75 microseconds
  JsonWriter json;
  const CleanupTotals cleanups{.last_run_at_ms = 1'795'469'039'000,
                               .runs = 2,
                               .removed_total = 5,
                               .bytes_reclaimed_total = 50,
                               .last_error = "disk"};
  ShadowCounters shadow;
  shadow.Add("a", ShadowDecision::kReplay);
  shadow.Add("b", ShadowDecision::kReplay);
  shadow.Add("b", ShadowDecision::kMissingKey);
  WriteStats(stats, cleanups, std::nullopt,
             ProcessStats{.uptime_seconds = 7, .meter = &meter, .shadow = shadow.Totals(), .latency = latency}, &json);
  EXPECT_EQ(json.text(),
            R"({"now":"2026-11-23T21:23:59.123Z","uptime_seconds":7,)"
            R"("records":{"active":6,"expired":1,"in_progress":2,"completed":3,"unknown":1},)"
            R"("by_type":[{"type":"webhook","active":6,"expired":1}],)"
            R"("expiring":[{"until":"2026-11-23T21:24:00.000Z","count":4}],)"
            R"("requests":{"executed":1,"replayed":3,"unkeyed":0,"passed":0,"unprotected":0,"bad_request":0,)"
            R"("missing_key":0,"invalid_key":0,"signature_invalid":0,"timestamp_expired":0,"unauthorized":0,)"
            R"("not_found":0,"request_timeout":0,"in_flight":1,"outcome_unknown":0,"claim_lost":0,)"
            R"("not_redeliverable":0,"body_too_large":0,"key_reused":0,"rate_limited":0,"head_too_large":0,)"
            R"("upstream_unreachable":0,"upstream_broken":0,"store_unavailable":0,"overloaded":0,"draining":0,)"
            R"("upstream_timeout":0},"hit_rate":0.75,)"
            R"("latency":{"window_seconds":60.5,"replayed":{"p50":0.0625,"p95":0.07375,"p99":0.07475},)"
            R"("executed":{"p50":null,"p95":null,"p99":null}},)"
            R"("cleanup":{"last_run_at":"2026-11-23T21:23:59.000Z","runs":2,"removed_total":5,)"
            R"("bytes_reclaimed_total":50,"last_error":"disk"},)"
            R"("store":{"disk_bytes":10,"wal_bytes":11,"memory_bytes":12,"free_bytes":13},"exact":true,)"
            R"("shadow":{"would_execute":0,"would_replay":2,"would_wait":0,"would_reject_in_flight":0,)"
            R"("would_reject_mismatch":0,"would_reject_unknown":0,"would_refuse":0,"missing_key":1,"invalid_key":0,)"
            R"("signature_failure":0,"store_error":0}})");
}

TEST(StatsJsonTest, ShowsNullForRatesOfNothingAndForWhatOnlyAProcessKnows) {
  JsonWriter running;
  WriteStats({}, {}, std::nullopt, ProcessStats{}, &running);
  EXPECT_NE(running.text().find(R"("hit_rate":null,"latency":null,"cleanup":{"last_run_at":null,)"), std::string::npos)
      << running.text();
  JsonWriter still;
  WriteStats({}, {}, std::nullopt, std::nullopt, &still);
  EXPECT_NE(still.text().find(R"("uptime_seconds":null,)"), std::string::npos) << still.text();
  EXPECT_NE(still.text().find(R"("requests":null,"hit_rate":null,)"), std::string::npos) << still.text();
  EXPECT_NE(still.text().find(R"("shadow":null})"), std::string::npos) << still.text();
}

}  // namespace
}  // namespace oncegate::control

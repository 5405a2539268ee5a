#include "control/import_json.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "control/record_json.h"
#include "store/store.h"

namespace oncegate::control {
namespace {

constexpr int64_t kNowMs = 1'800'000'000'000;

Record MustParse(std::string_view line) {
  Result<Record> record = ParseImportLine(line, "default", kNowMs);
  EXPECT_TRUE(record.ok()) << line << ": " << record.status().message();
  return record.ok() ? *std::move(record) : Record{};
}

// What `SELECT row_to_json(t)` makes of the table that such middleware keeps.
TEST(ImportJsonTest, ReadsARowOfAnOlderSystem) {
  const Record record = MustParse(R"({"id":7,"key":"ord_1","type":"order","status":201,"body":{"ok":true,"n":1.5},)"
                                  R"("created":"2027-01-14T08:00:00.123456+00:00","expires":"2027-01-16 08:00:00"})");
  EXPECT_EQ(record.key, ScopedKey("default", "ord_1"));
  EXPECT_EQ(record.type, "order");
  EXPECT_EQ(record.state, RecordState::kCompleted);
  EXPECT_EQ(record.created_at_ms, kNowMs - 86'400'000 + 123);
  EXPECT_EQ(record.completed_at_ms, record.created_at_ms);
  EXPECT_EQ(record.expires_at_ms, kNowMs + 86'400'000);
  ASSERT_TRUE(record.response);
  EXPECT_EQ(record.response->status, 201);
  EXPECT_EQ(record.response->head, "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 19\r\n");
  EXPECT_EQ(record.response->body, R"({"ok":true,"n":1.5})");
  EXPECT_FALSE(record.fingerprint);
}

TEST(ImportJsonTest, ReadsWhatAnExportWrites) {
  Record record;
  record.id = NewRecordId();
  record.key = ScopedKey("shop~0123456789abcdef0123456789abcdef", "a/b");
  record.type = "payment";
  record.state = RecordState::kCompleted;
  record.attempt = 3;
  record.created_at_ms = kNowMs - 5000;
  record.completed_at_ms = kNowMs - 4000;
  record.expires_at_ms = kNowMs + 96'000;
  record.ttl_ms = 100'000;
  record.source_ip = "10.0.0.1";
  record.labels = {{"order_id", "ord_42"}};
  record.fingerprint = MakeFingerprint(FingerprintRecipe::kWithoutBody, {.method = "POST", .target = "/", .body = {}});
  record.request =
      StoredRequest{"POST", "/hook?x=1", "Host: a\r\nX-Y: 1\r\nX-Y: 2\r\n", std::string("\xff\x00z", 3), true};
  record.response = StoredResponse{
      .status = 200, .head = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-A: 1\r\nContent-Length: 4\r\n", .body = "done"};
  JsonWriter json;
  WriteRecord(record, {.now_ms = kNowMs}, &json);
  Record read = MustParse(json.text());
  read.token = record.token;
  EXPECT_EQ(read.response->head, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-A: 1\r\nContent-Length: 4\r\n");
  EXPECT_EQ(read, record);
}

TEST(ImportJsonTest, ABodyThatWasNotKeptIsNotTakenForAnEmptyOne) {
  const Record exported = MustParse(
      R"({"key":"a","response":{"status":200,"headers":[["ETag","x"]],"body":null},"expires_at":4000000000})");
  EXPECT_FALSE(exported.response->body_kept);
  EXPECT_EQ(exported.response->head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nOncegate-Body: omitted\r\n");
  EXPECT_TRUE(MustParse(R"({"key":"a","status":200,"body":null,"expires":4000000000})").response->body_kept);
}

TEST(ImportJsonTest, ClaimsWithoutTheirOwnerAreUnknown) {
  for (const char* state : {"in_progress", "unknown"}) {
    const Record record = MustParse(R"({"key":"a","expires_at":null,"state":")" + std::string(state) + "\"}");
    EXPECT_EQ(record.state, RecordState::kUnknown) << state;
    EXPECT_EQ(record.expires_at_ms, kNever);
    EXPECT_TRUE(record.hold_unknown);
    EXPECT_GT(record.ttl_ms, 0);
  }
}

TEST(ImportJsonTest, SaysWhatIsWrongWithALine) {
  const struct {
    const char* line;
    const char* says;
  } rows[] = {
      {"", "one JSON object"},
      {"[]", "one JSON object"},
      {R"({"key":"a")", "one JSON object"},
      {R"({"key":"a"}{"key":"b"})", "one JSON object"},
      {R"({"status":200,"expires":1900000000})", "'key' is missing"},
      {R"({"key":null,"status":200,"expires":1900000000})", "'key' is not a string"},
      {R"({"key":7,"status":200,"expires":1900000000})", "'key' is not a string"},
      {R"({"key":"a b","status":200,"expires":1900000000})", "'key' has"},
      {R"({"key":"a","scope":"a/b","status":200,"expires":1900000000})", "'scope' is not"},
      {R"({"key":"a","status":200})", "'expires_at' is missing"},
      {R"({"key":"a","expires":1900000000})", "'status' or 'response' is missing"},
      {R"({"key":"a","status":"ok","expires":1900000000})", "'status' is not the status"},
      {R"({"key":"a","status":100,"expires":1900000000})", "'status' is not the status"},
      {R"({"key":"a","status":200,"expires":"tomorrow"})", "'tomorrow' is not a time"},
      {R"({"key":"a","status":200,"expires":-1})", "before 1970"},
      {R"({"key":"a","status":200,"expires":true})", "neither a time"},
      {R"({"key":"a","status":200,"expires":1900000000,"amount":5})", "'amount' is not a member"},
      {R"({"key":"a","response":{"status":200,"hue":1},"expires":1900000000})", "'response.hue' is not a member"},
      {R"({"key":"a","status":200,"headers":[["A","b\r\nC: d"]],"expires":1900000000})", "no header field"},
      {R"({"key":"a","status":200,"headers":[["A b","c"]],"expires":1900000000})", "no header field"},
      {R"({"key":"a","status":200,"headers":["A"],"expires":1900000000})", "[name, value]"},
      {R"({"key":"a","status":200,"body_base64":"YQ","expires":1900000000})", "base64"},
      {R"({"key":"a","status":200,"body_base64":"Y Q=","expires":1900000000})", "base64"},
      {R"({"key":"a","status":200,"fingerprint":"xyz","expires":1900000000})", "64 hexadecimal"},
      {R"({"key":"a","status":200,"labels":{"a":1},"expires":1900000000})", "'labels' is not"},
      {R"({"key":"a","status":200,"attempt":0,"expires":1900000000})", "'attempt'"},
      {R"({"key":"a","state":"done","expires":1900000000})", "'state' is not"},
      {R"({"key":"a","status":200,"request":{"method":"PO ST","target":"/"},"expires":1900000000})", "request.method"},
      {R"({"key":"a","status":200,"request":{"method":"POST","target":"/ x"},"expires":1900000000})", "request.target"},
  };
  for (const auto& row : rows) {
    const Status status = ParseImportLine(row.line, "default", kNowMs).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << row.line;
    EXPECT_NE(status.message().find(row.says), std::string::npos) << row.line << ": " << status.message();
  }
}

}  // namespace
}  // namespace oncegate::control

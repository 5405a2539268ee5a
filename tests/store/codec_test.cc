#include "store/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "store/crc32c.h"

namespace oncegate::store {
namespace {

const ScopedKey kKey("default", "evt_1");

StoredRecord FullRecord() {
  StoredRecord stored;
  stored.type_id = 7;
  Record& record = stored.record;
  record.id = NewRecordId();
  record.key = kKey;
  record.type = "order.created";
  record.state = RecordState::kCompleted;
  record.owner = ClaimOwner::kSidecar;
  record.token = NewToken();
  record.attempt = 3;
  record.created_at_ms = 1'800'000'000'001;
  record.completed_at_ms = 1'800'000'000'002;
  record.expires_at_ms = 1'800'086'400'002;
  record.ttl_ms = 86'400'000;
  record.hold_unknown = false;
  record.lease_expires_at_ms = 1'800'000'060'001;
  record.on_lease_expiry = LeaseExpiry::kRerun;
  record.fingerprint = MakeFingerprint(FingerprintRecipe::kWithoutBody, {.method = "POST", .target = "/x", .body = ""});
  record.source_ip = "2001:db8::1";
  record.labels = {{"order_id", "42"}, {"empty", ""}, {"nul", std::string("a\0b", 3)}};
  record.request = StoredRequest{"POST", "/hook?a=b", "Host: a\r\n", std::string("\0\xff\r\n", 4), true};
  record.history = {{1'800'000'000'003, "ada", HistoryAction::kResolved, "completed"},
                    {1'800'000'000'004, "", HistoryAction::kRedelivered, ""}};
  record.response = StoredResponse{201, "HTTP/1.1 201 Created\r\n", std::string("\0body\xfe", 6), true};
  return stored;
}

StoredRecord Decoded(const std::string& value, RecordParts parts = RecordParts::kAll) {
  StoredRecord decoded;
  const Status status = DecodeRecord(kKey, value, parts, &decoded);
  EXPECT_TRUE(status.ok()) << status.message();
  return decoded;
}

StatusCode CodeOf(const std::string& value, const ScopedKey& key = kKey) {
  StoredRecord decoded;
  return DecodeRecord(key, value, RecordParts::kAll, &decoded).code();
}

TEST(Codec, EveryFieldSurvives) {
  const StoredRecord stored = FullRecord();
  EXPECT_EQ(Decoded(EncodeRecord(stored)), stored);
}

TEST(Codec, AbsentPartsStayAbsent) {
  StoredRecord stored;
  stored.record.key = kKey;
  EXPECT_EQ(Decoded(EncodeRecord(stored)), stored);
  stored.record.request.emplace();
  stored.record.response.emplace().body_kept = false;
  EXPECT_EQ(Decoded(EncodeRecord(stored)), stored);
}

TEST(Codec, BodiesKeptApartLeaveTheirPlace) {
  StoredRecord stored = FullRecord();
  stored.request_body = PlaceApart("request", 1234);
  stored.response_body = PlaceApart("response", kNever);
  const StoredRecord decoded = Decoded(EncodeRecord(stored));
  EXPECT_EQ(decoded.request_body, stored.request_body);
  EXPECT_EQ(decoded.response_body, stored.response_body);
  EXPECT_EQ(decoded.record.request->body, "");
  EXPECT_EQ(decoded.record.response->body, "");
}

TEST(Codec, ReplayPartsLeaveOutLabelsAndRequest) {
  StoredRecord expected = FullRecord();
  const std::string value = EncodeRecord(expected);
  expected.record.labels.clear();
  expected.record.history.clear();
  expected.record.request.reset();
  EXPECT_EQ(Decoded(value, RecordParts::kReplay), expected);
}

TEST(Codec, EveryTruncationIsCorruption) {
  const std::string value = EncodeRecord(FullRecord());
  for (size_t size = 0; size < value.size(); ++size)
    EXPECT_EQ(CodeOf(value.substr(0, size)), StatusCode::kCorruption) << size << " of " << value.size() << " bytes";
  EXPECT_EQ(CodeOf(value + 'x'), StatusCode::kCorruption);
}

TEST(Codec, EveryFlippedBitIsCorruption) {
  std::string value = EncodeRecord(FullRecord());
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(CodeOf(value), StatusCode::kCorruption) << "bit " << bit;
    int64_t expires_at_ms = 0;
    EXPECT_FALSE(ExpiresAtOfRecord(kKey.bytes(), value, &expires_at_ms)) << "bit " << bit;
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
  }
  EXPECT_EQ(CodeOf(value), StatusCode::kOk);
}

TEST(Codec, AnotherKeysValueIsCorruption) {
  const std::string value = EncodeRecord(FullRecord());
  EXPECT_EQ(CodeOf(value, ScopedKey("default", "evt_2")), StatusCode::kCorruption);
}

TEST(Codec, GarbageIsCorruption) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same garbage every time
  for (int i = 0; i < 20'000; ++i) {
    std::string value(random() % 300, '\0');
    for (char& c : value) c = static_cast<char>(random());
    EXPECT_EQ(CodeOf(value), StatusCode::kCorruption) << "garbage " << i;
  }
}

// Garbage with a right checksum, as a bug in a writer would make it: the parser itself must hold.
TEST(Codec, DamageUnderARightChecksumNeverCrashes) {
  const std::string sound = EncodeRecord(FullRecord());
  std::mt19937 random(2);  // NOLINT(cert-msc51-cpp)
  for (int i = 0; i < 20'000; ++i) {
    std::string value = sound.substr(0, 13 + random() % (sound.size() - 13));
    for (int flips = 0; flips < 4 && value.size() > 13; ++flips)
      value[13 + random() % (value.size() - 13)] = static_cast<char>(random());
    const uint32_t head = Crc32c(std::string_view(value).substr(0, 9), Crc32c(kKey.bytes()));
    const uint32_t checksum = Crc32c(std::string_view(value).substr(13), head);
    for (size_t byte = 0; byte < 4; ++byte) value[9 + byte] = static_cast<char>(checksum >> (8 * (3 - byte)));
    for (const RecordParts parts : {RecordParts::kReplay, RecordParts::kAll}) {
      StoredRecord decoded;
      const StatusCode code = DecodeRecord(kKey, value, parts, &decoded).code();
      EXPECT_TRUE(code == StatusCode::kOk || code == StatusCode::kCorruption) << i;
    }
  }
}

TEST(Codec, ALaterVersionIsNamed) {
  std::string value = EncodeRecord(FullRecord());
  value[0] = 3;
  StoredRecord decoded;
  const Status status = DecodeRecord(kKey, value, RecordParts::kAll, &decoded);
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_EQ(status.message(), "a record is of version 3; this program reads up to version 2");
}

// An earlier program reads all records that no operator has touched.
TEST(Codec, OnlyAHistoryNeedsVersion2) {
  StoredRecord stored = FullRecord();
  EXPECT_EQ(EncodeRecord(stored)[0], 2);
  stored.record.history.clear();
  EXPECT_EQ(EncodeRecord(stored)[0], 1);
}

TEST(Codec, ChecksumIsCrc32c) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);  // the check value of RFC 3720, appendix B.4's polynomial
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    bytes.push_back(static_cast<char>(i * 31));
    EXPECT_EQ(Crc32c(bytes), Crc32cByTable(bytes)) << bytes.size();
    EXPECT_EQ(Crc32c(bytes.substr(5 % bytes.size()), Crc32c(bytes.substr(0, 5 % bytes.size()))), Crc32c(bytes));
  }
}

}  // namespace
}  // namespace oncegate::store

#include "tests/crash/control_view.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <chrono>
#include <thread>

#include "tests/support/raw_client.h"

namespace oncegate {
namespace {

constexpr std::chrono::seconds kPatience{10};

bool Get(uint16_t port, const std::string& target, simdjson::dom::parser* parser, simdjson::dom::element* json) {
  RawClient client(port);
  client.Send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const RawAnswer answer = client.Receive();
  const bool good = answer.status == 200 && answer.whole && parser->parse(answer.body).get(*json) == simdjson::SUCCESS;
  EXPECT_TRUE(good) << target << "\n" << answer.head << answer.body;
  return good;
}

std::string TextOf(const simdjson::dom::element& json, const char* name) {
  std::string_view text;
  return json[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

int NumberIn(const simdjson::dom::element& json, const char* name) {
  int64_t number = 0;
  EXPECT_EQ(json[name].get(number), simdjson::SUCCESS) << name;
  return static_cast<int>(number);
}

}  // namespace

std::optional<std::map<std::string, ListedRecord>> ListRecords(uint16_t control_port, const std::string& query,
                                                               int page_size) {
  std::map<std::string, ListedRecord> records;
  std::string cursor;
  do {
    simdjson::dom::parser parser;
    simdjson::dom::element page;
    const std::string target = "/v1/records?limit=" + std::to_string(page_size) + "&cursor=" + cursor + "&" + query;
    if (!Get(control_port, target, &parser, &page)) return std::nullopt;
    simdjson::dom::array listed;
    if (page["records"].get(listed) != simdjson::SUCCESS) return std::nullopt;
    for (const simdjson::dom::element record : listed) {
      const std::string key = TextOf(record, "key");
      const bool first = records
                             .try_emplace(key, ListedRecord{TextOf(record, "state"), TextOf(record, "type"),
                                                            NumberIn(record, "attempt")})
                             .second;
      EXPECT_TRUE(first) << key << " is listed twice";
    }
    cursor = TextOf(page, "next_cursor");
  } while (!cursor.empty());
  return records;
}

std::optional<ControlStats> ExactStats(uint16_t control_port) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  bool exact = false;
  while (!exact) {
    if (!Get(control_port, "/v1/stats", &parser, &json)) return std::nullopt;
    if (json["exact"].get(exact) != simdjson::SUCCESS || std::chrono::steady_clock::now() > give_up)
      return std::nullopt;
    if (!exact) std::this_thread::yield();
  }
  ControlStats stats;
  const simdjson::dom::element records = json["records"];
  stats.active = NumberIn(records, "active");
  stats.expired = NumberIn(records, "expired");
  for (const char* state : {"in_progress", "completed", "unknown"}) {
    if (const int count = NumberIn(records, state); count > 0) stats.by_state[state] = count;
  }
  simdjson::dom::array types;
  if (json["by_type"].get(types) != simdjson::SUCCESS) return std::nullopt;
  for (const simdjson::dom::element type : types) stats.by_type[TextOf(type, "type")] = NumberIn(type, "active");
  return stats;
}

}  // namespace oncegate

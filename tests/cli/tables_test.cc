#include "cli/tables.h"

#include <gtest/gtest.h>

namespace oncegate::cli {
namespace {

TEST(TablesTest, AlignsRecordsInColumns) {
  const Result<std::string> text = RecordsText(
      R"({"records":[{"key":"a","scope":"default","type":"webhook","state":"completed","attempt":1,"replays":12,)"
      R"("created_at":"2026-11-23T20:03:59.123Z","expires_at":null}],"next_cursor":"c1"})");
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(*text,
            "KEY  SCOPE    TYPE     STATE      ATTEMPT  REPLAYS  CREATED                   EXPIRES\n"
            "a    default  webhook  completed  1        12       2026-11-23T20:03:59.123Z  -\n"
            "more: --cursor c1\n");
  EXPECT_EQ(*RecordsText(R"({"records":[],"next_cursor":null})"), "no records\n");
}

TEST(TablesTest, KeepsControlCharactersFromTheTerminal) {
  const Result<std::string> text =
      RecordText(R"({"key":"a","type":"\u001b[2J","labels":{"n\u0007":"v\u009b1m"},"request":null,)"
                 R"("response":{"status":200,"headers":[["X","\r\nY"]],"body":"line\n\ttab\u001b]0;x\u0007 é"}})");
  ASSERT_TRUE(text.ok()) << text.status().message();
  for (const char byte : {'\x1b', '\x07', '\r', '\x9b'}) EXPECT_EQ(text->find(byte), std::string::npos) << *text;
  EXPECT_NE(text->find("?[2J"), std::string::npos) << *text;
  EXPECT_NE(text->find("line\n\ttab?]0;x? é"), std::string::npos) << *text;
}

TEST(TablesTest, WhatWaitsForAPersonStandsOutAtATerminal) {
  const auto stats = [](const std::string& unknown, const std::string& error) {
    return R"({"records":{"active":3,"unknown":)" + unknown + R"(},"cleanup":{"last_error":)" + error + "}}";
  };
  const std::string waits = stats("2", R"("no space")");
  const std::string coloured = *StatsText(waits, Colours::kAnsi);
  EXPECT_NE(coloured.find("unknown      \x1b[1;33m2\x1b[0m\n"), std::string::npos) << coloured;
  EXPECT_NE(coloured.find("\x1b[1;33mno space\x1b[0m\n"), std::string::npos) << coloured;
  EXPECT_EQ(StatsText(waits)->find('\x1b'), std::string::npos);
  EXPECT_EQ(StatsText(stats("0", "null"), Colours::kAnsi)->find('\x1b'), std::string::npos) << "all is well";
}

TEST(TablesTest, SaysWhatCannotBeShown) {
  const std::string start = R"({"key":"a","request":{"method":"POST","target":"/x","headers":[],)";
  EXPECT_NE(RecordText(start + R"("body":null}})")->find("(the body was not kept)"), std::string::npos);
  EXPECT_NE(RecordText(start + R"("body_base64":"/w=="}})")->find("(a body that is not text"), std::string::npos);
}

TEST(TablesTest, WhatIsNotOurJsonIsNotGuessedAt) {
  for (const char* json : {"", "<html>", "[]", "{}", "{\"records\":1}"}) {
    EXPECT_FALSE(RecordsText(json).ok()) << json;
    EXPECT_FALSE(RecordText(json).ok()) << json;
    EXPECT_FALSE(StatsText(json).ok()) << json;
    EXPECT_FALSE(CleanupText(json).ok()) << json;
    EXPECT_EQ(ProblemText(502, json), "the server answered 502") << json;
  }
  EXPECT_EQ(ProblemText(400, R"({"code":"bad-request","detail":"No."})"), "No. (bad-request)");
}

}  // namespace
}  // namespace oncegate::cli

#include "control/json_writer.h"

#include <gtest/gtest.h>

#include "core/record.h"

namespace oncegate::control {
namespace {

using namespace std::string_literals;  // NOLINT(google-build-using-namespace): strings with NUL

TEST(JsonWriterTest, PutsCommasAndColonsWhereTheyBelong) {
  JsonWriter json;
  json.BeginObject();
  json.Name("a").Int(-1).Name("b").BeginArray().Uint(2).String("x").BeginArray().EndArray().EndArray();
  json.Name("c").BeginObject().EndObject().Name("d").Bool(true).Name("e").Null().Name("f").Double(0.25);
  json.EndObject();
  EXPECT_EQ(json.text(), R"({"a":-1,"b":[2,"x",[]],"c":{},"d":true,"e":null,"f":0.25})");
}

TEST(JsonWriterTest, EscapesWhatJsonAndUtf8Forbid) {
  struct Row {
    std::string text;
    std::string json;
  };
  const Row rows[] = {
      {"", R"("")"},
      {"plain", R"("plain")"},
      {"a\"b\\c", R"("a\"b\\c")"},
      {"\n\r\t", R"("\n\u000d\u0009")"},
      {"\0\x1f\x7f"s, R"("\u0000\u001f\u007f")"},
      {"é€😀", "\"é€😀\""},
      {"\xff", R"("\ufffd")"},
      {"a\xc3", R"("a\ufffd")"},
      {"\xc0\xaf", R"("\ufffd\ufffd")"},                      // overlong
      {"\xed\xa0\x80", R"("\ufffd\ufffd\ufffd")"},            // a surrogate
      {"\xf4\x90\x80\x80", R"("\ufffd\ufffd\ufffd\ufffd")"},  // beyond U+10FFFF
      {"\xe2\x82z", R"("\ufffd\ufffdz")"},
  };
  for (const Row& row : rows) {
    JsonWriter json;
    json.String(row.text);
    EXPECT_EQ(json.text(), row.json) << testing::PrintToString(row.text);
    EXPECT_TRUE(IsUtf8(json.text())) << testing::PrintToString(row.text);
  }
}

TEST(JsonWriterTest, CodesBytesAsRfc4648Does) {
  const std::pair<std::string, std::string> rows[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
      {"\xff\xfe\x00"s, "//4A"},
  };
  for (const auto& [bytes, text] : rows) EXPECT_EQ(Base64(bytes), text) << testing::PrintToString(bytes);
}

TEST(JsonWriterTest, ShowsBodiesAsTextOnlyIfTheyAreText) {
  JsonWriter json;
  json.BeginObject().Body("{\"a\":1}").EndObject();
  EXPECT_EQ(json.text(), R"({"body":"{\"a\":1}"})");
  JsonWriter binary;
  binary.BeginObject().Body("\x89PNG").EndObject();
  EXPECT_EQ(binary.text(), R"({"body_base64":"iVBORw=="})");
}

TEST(JsonWriterTest, WritesTimesAndTheirAbsence) {
  JsonWriter json;
  json.BeginArray().TimeOrNull(1'795'469'039'123, 0).TimeOrNull(0, 0).TimeOrNull(kNever, kNever).EndArray();
  EXPECT_EQ(json.text(), R"(["2026-11-23T21:23:59.123Z",null,null])");
}

}  // namespace
}  // namespace oncegate::control

#include "webhook/json_pointer.h"

#include <gtest/gtest.h>

namespace oncegate {
namespace {

struct Case {
  const char* body;
  const char* pointer;
  std::optional<std::string> value;
};

TEST(ExtractJson, FindsScalarsAsWritten) {
  const Case cases[] = {
      {R"({"id":"evt_1"})", "/id", "evt_1"},
      {R"({"id":17})", "/id", "17"},
      {R"({"id": 17 })", "/id", "17"},
      {R"({"id":17.50,"x":1})", "/id", "17.50"},
      {R"({"id":1e3})", "/id", "1e3"},
      {R"({"id":123456789012345678901234567890})", "/id", "123456789012345678901234567890"},
      {R"({"id":"x","n":123456789012345678901234567890})", "/id", "x"},
      {R"({"id":-0.5})", "/id", "-0.5"},
      {R"({"id":01})", "/id", std::nullopt},
      {R"({"id":1.})", "/id", std::nullopt},
      {R"({"id":1x})", "/id", std::nullopt},
      {R"({"a":{"b":[{"c":"x"},{"c":"y"}]}})", "/a/b/1/c", "y"},
      {R"({"a/b":"s","m~n":"t"})", "/a~1b", "s"},
      {R"({"a/b":"s","m~n":"t"})", "/m~0n", "t"},
      {R"({"id":"a\u0041\n"})", "/id", "aA\n"},
      {R"({"":"empty name"})", "/", "empty name"},
      {R"(["a","b"])", "/1", "b"},
      {R"({"id":""})", "/id", ""},
      {R"({"id":true})", "/id", std::nullopt},
      {R"({"id":null})", "/id", std::nullopt},
      {R"({"id":{}})", "/id", std::nullopt},
      {R"({"id":[]})", "/id", std::nullopt},
      {R"({"other":1})", "/id", std::nullopt},
      {R"({"id":"x"})", "/id/y", std::nullopt},
      {R"(["a"])", "/1", std::nullopt},
      {R"(["a"])", "/-", std::nullopt},
      {R"("scalar")", "/id", std::nullopt},
      {R"({"id":"x"} trailing)", "/id", std::nullopt},
      {R"({"id":"x","broken":)", "/id", std::nullopt},
      {R"({"id":"x",})", "/id", std::nullopt},
      {"{\"id\":\"\xff\"}", "/id", std::nullopt},
      {"", "/id", std::nullopt},
      {"   ", "/id", std::nullopt},
      {"id=evt_1", "/id", std::nullopt},
  };
  for (const Case& c : cases) {
    const auto pointer = JsonPointer::Parse(c.pointer);
    ASSERT_TRUE(pointer.ok()) << c.pointer;
    EXPECT_EQ(ExtractJson(c.body, {&*pointer, 1})[0], c.value) << c.body << " at " << c.pointer;
  }
}

TEST(ExtractJson, ReadsSeveralInTheirOrderWhateverTheirOrderInTheBody) {
  const std::vector<JsonPointer> pointers{JsonPointer::Parse("/b").value(), JsonPointer::Parse("/missing").value(),
                                          JsonPointer::Parse("/a").value(), JsonPointer::Parse("/b").value()};
  const auto values = ExtractJson(R"({"a":1,"b":"two"})", pointers);
  EXPECT_EQ(values, (std::vector<std::optional<std::string>>{"two", std::nullopt, "1", "two"}));
}

TEST(ExtractJson, RefusesNestingBeyondTheParsersDepth) {
  const std::string deep = R"({"id":"x","deep":)" + std::string(5000, '[') + std::string(5000, ']') + "}";
  const auto pointer = JsonPointer::Parse("/id");
  EXPECT_EQ(ExtractJson(deep, {&*pointer, 1})[0], std::nullopt);
}

// The first parser stopped at the number that it cannot hold and never saw the end; the lazy one met it, gave up its
// parser, and was asked on for the next pointer, which ended the process.
TEST(ExtractJson, ABodyThatBreaksOffBehindALargeNumberHasNoValues) {
  const std::vector<JsonPointer> pointers{JsonPointer::Parse("/missing").value(), JsonPointer::Parse("/id").value()};
  for (const char* body : {R"({"id":"x","n":2e400)", R"({"id":"x","n":{"m":2e400})", R"({"id":"x","n":2e400,"o")"}) {
    for (const auto& value : ExtractJson(body, pointers)) EXPECT_EQ(value, std::nullopt) << body;
  }
}

TEST(JsonPointer, RefusesWhatIsNotAPointer) {
  for (const std::string& text : {std::string(), std::string("id"), std::string("/a~"), std::string("/a~2"),
                                  "/" + std::string(JsonPointer::kBytesMax, 'a')}) {
    EXPECT_FALSE(JsonPointer::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace oncegate

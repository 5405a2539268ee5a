#include "webhook/encoding.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "webhook/json_path.h"
#include "webhook/request.h"

namespace oncegate {
namespace {

TEST(Base64, OneTextForOneValue) {
  EXPECT_EQ(DecodeBase64("aGk="), "hi");
  EXPECT_EQ(DecodeBase64("aGk"), "hi");
  EXPECT_EQ(DecodeBase64("aGkh"), "hi!");
  EXPECT_EQ(DecodeBase64(""), "");
  for (const char* wrong : {"a", "aGl=", "aG=k", "a-_=", "aGk==", "====", "aGk \n", "aGkh="})
    EXPECT_EQ(DecodeBase64(wrong), std::nullopt) << wrong;
}

TEST(Form, FieldsInOrder) {
  const auto fields = ParseForm("a=1&b=%2B+x&&c&a=%zz");
  ASSERT_TRUE(fields.has_value());
  ASSERT_EQ(fields->size(), 4U);
  EXPECT_EQ((*fields)[1].value, "+ x");
  EXPECT_EQ((*fields)[2].name, "c");
  EXPECT_EQ((*fields)[3].value, "%zz");
  std::string many;
  for (size_t i = 0; i <= kFormFieldsMax; ++i) many += "a=1&";
  EXPECT_FALSE(ParseForm(many).has_value());
}

TEST(SenderUrl, TheOperatorsWordThenTheRequests) {
  EXPECT_EQ(SenderUrl("", "https", "h:1", "/a?b=1"), "https://h:1/a?b=1");
  EXPECT_EQ(SenderUrl("https://x", "http", "h", "/a?b=1"), "https://x/a?b=1");
  EXPECT_EQ(SenderUrl("https://x/", "http", "h", "/a?b=1"), "https://x/a?b=1");
  EXPECT_EQ(SenderUrl("https://x/in#rc=3", "http", "h", "/a"), "https://x/in");
  EXPECT_EQ(SenderUrl("https://x/in?k=1", "http", "h", "/a"), "https://x/in?k=1");
  // A query that was not signed must not slip in.
  EXPECT_EQ(SenderUrl("https://x/in?k=1", "http", "h", "/a?k=2"), "https://x/in?k=2");
  EXPECT_EQ(SenderUrl("https://x/in", "http", "h", "/a?k=2"), "https://x/in?k=2");
  EXPECT_EQ(SenderUrl("https://x", "http", "h", "/"), "https://x");
}

std::string Redacted(std::string_view json, std::vector<std::string> pointers) {
  std::vector<JsonPath> paths;
  for (const std::string& pointer : pointers) paths.push_back(*JsonPath::Parse(pointer));
  bool replaced = false;
  return RedactJson(json, paths, &replaced).value_or("(not JSON)");
}

TEST(RedactJson, ReplacesEveryValueThatAPathLeadsToAndNothingElse) {
  EXPECT_EQ(Redacted(R"({ "a" : "x" , "b":[1, 2]})", {"/a"}), R"({ "a" : "[redacted]" , "b":[1, 2]})");
  EXPECT_EQ(Redacted(R"({"a":{"b":1},"c":2})", {"/a"}), R"({"a":"[redacted]","c":2})");
  EXPECT_EQ(Redacted(R"([{"n":1},{"n":2},{"m":3}])", {"/*/n"}), R"([{"n":"[redacted]"},{"n":"[redacted]"},{"m":3}])");
  EXPECT_EQ(Redacted(R"({"a":"1","a":"2"})", {"/a"}), R"({"a":"[redacted]","a":"[redacted]"})");
  EXPECT_EQ(Redacted(R"({"\u0061":"1"})", {"/a"}), R"({"\u0061":"[redacted]"})");
  EXPECT_EQ(Redacted(R"({"a":{"b":"s"}})", {"/a/b", "/a"}), R"({"a":"[redacted]"})");
  EXPECT_EQ(Redacted(R"({"a":null,"b":true,"c":12345678901234567890123})", {"/a", "/b", "/c"}),
            R"({"a":"[redacted]","b":"[redacted]","c":"[redacted]"})");
  for (const char* body : {R"({"a":1)", "--1", "--b\r\nform-data", R"({"a":01})", R"({"a":--1,"b":2})", "[-]", "1.",
                           R"({"c":12345678901234567890123} x)", R"({"c":12345678901234567890123,"a":tru})"})
    EXPECT_EQ(Redacted(body, {"/a"}), "(not JSON)") << body;
  EXPECT_EQ(Redacted(R"({"c":[12345678901234567890123,{}],"a":"\u0041","d":null})", {"/a"}),
            R"({"c":[12345678901234567890123,{}],"a":"[redacted]","d":null})");
}

TEST(RedactForm, ReplacesFieldsOfAName) {
  EXPECT_EQ(RedactForm("a=1&From=%2B1&From=2&b=", {"From"}), "a=1&From=%5Bredacted%5D&From=%5Bredacted%5D&b=");
  EXPECT_EQ(RedactForm("a=1", {"From"}), std::nullopt);
}

TEST(RepeatsMember, InAnyObjectAndAnyCase) {
  const std::array<std::string_view, 2> names{"Message", "a"};
  EXPECT_FALSE(RepeatsMember(R"({"Message":"m","b":1,"b":2,"c":{"Message":1}})", names));
  EXPECT_TRUE(RepeatsMember(R"({"Message":"m","b":1,"Message":"n"})", names));
  EXPECT_TRUE(RepeatsMember(R"({"Message":"m","message":"n"})", names)) << "Go takes the last of either";
  EXPECT_TRUE(RepeatsMember(R"({"Message":"m","\u004dessage":"n"})", names));
  EXPECT_TRUE(RepeatsMember(R"({"x":[1,{"a":1,"a":1}]})", names));
  EXPECT_TRUE(RepeatsMember(R"({"a":123456789012345678901234567890})", names)) << "not to be read";
}

TEST(FindJson, BrokenBodiesHaveNoValues) {
  const std::vector<JsonPath> paths{*JsonPath::Parse("/*/{id,status?}"), *JsonPath::Parse("/a/*/b")};
  for (const char* body : {"", "{", "[{\"id\":1}", "{\"a\":[123456789012345678901234,",
                           "{\"a\":[{\"b\":99999999999999999999999}", "[{\"id\":99999999999999999999999,\"id\":"})
    EXPECT_FALSE(FindJson(body, paths).has_value()) << body;
  for (const char* scalar : {"1", "\"x\"", "null", "99999999999999999999999999"}) {
    const auto found = FindJson(scalar, paths);
    ASSERT_TRUE(found.has_value()) << scalar;
    EXPECT_TRUE((*found)[0].empty()) << scalar;
  }
}

}  // namespace
}  // namespace oncegate

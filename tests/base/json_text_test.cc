#include "base/json_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace oncegate {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(AppendJsonString, IsValidWhateverGoesIn) {
  struct Case {
    std::string text;
    std::string quoted;
  };
  const std::vector<Case> cases = {
      {"", R"("")"},
      {"plain", R"("plain")"},
      {R"(a"b\c)", R"("a\"b\\c")"},
      {"line\nend\r\t", R"("line\nend\u000d\u0009")"},
      {std::string("nul\0", 4), R"("nul\u0000")"},
      {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
      {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
      {"\xff", R"("\ufffd")"},
      {"\xc3", R"("\ufffd")"},
      {"\xc0\x80", R"("\ufffd\ufffd")"},            // an overlong form
      {"\xed\xa0\x80", R"("\ufffd\ufffd\ufffd")"},  // a surrogate
      {"\xf4\x90\x80\x80", R"("\ufffd\ufffd\ufffd\ufffd")"},
  };
  for (const Case& c : cases) EXPECT_EQ(Quoted(c.text), c.quoted) << c.text;
}

}  // namespace
}  // namespace oncegate

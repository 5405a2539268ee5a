#include "core/record.h"

#include <gtest/gtest.h>

#include <set>

namespace oncegate {
namespace {

TEST(RecordId, IsAUuidOfVersionFour) {
  const std::string text = FormatUuid(NewRecordId());
  ASSERT_EQ(text.size(), 36U) << text;
  for (const size_t dash : {8U, 13U, 18U, 23U}) EXPECT_EQ(text[dash], '-') << text;
  EXPECT_EQ(text[14], '4') << text;
  EXPECT_NE(std::string_view("89ab").find(text[19]), std::string_view::npos) << text;
}

TEST(Token, NeverRepeatsAndReadsBack) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const Token token = NewToken();
    const std::string text = FormatToken(token);
    EXPECT_TRUE(seen.insert(text).second) << text;
    Token back{};
    ASSERT_TRUE(ParseToken(text, &back)) << text;
    EXPECT_EQ(back, token) << text;
  }
  Token token{};
  for (const char* text : {"", "00", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0"})
    EXPECT_FALSE(ParseToken(text, &token)) << text;
}

TEST(RecordState, NamesReadBack) {
  for (const RecordState state : {RecordState::kInProgress, RecordState::kCompleted, RecordState::kUnknown})
    EXPECT_EQ(ParseRecordState(RecordStateName(state)), state);
  EXPECT_EQ(ParseRecordState("done"), std::nullopt);
}

}  // namespace
}  // namespace oncegate

#include "control/target.h"

#include <gtest/gtest.h>

#include "core/key.h"

namespace oncegate::control {
namespace {

// Segments divided by '|', then the query as name=value.
std::string Describe(const Result<Target>& target) {
  if (!target.ok()) return "refused";
  std::string text;
  for (const std::string& segment : target->segments) text += "|" + segment;
  for (const auto& [name, value] : target->query) text += " " + name + "=" + value;
  return text;
}

TEST(TargetTest, TakesTargetsApartBeforeItDecodesThem) {
  const std::pair<std::string, std::string> rows[] = {
      {"/", "|"},
      {"/v1/stats", "|v1|stats"},
      {"/v1/records/default/a%2Fb", "|v1|records|default|a/b"},
      {"/a+b", "|a+b"},
      {"/a%2bb", "|a+b"},
      {"/a%252Fb", "|a%2Fb"},  // decoded once
      {"/a//b/", "|a||b|"},
      {"/a/../b", "|a|..|b"},
      {"/x?", "|x"},
      {"/x?a=1&b=2", "|x a=1 b=2"},
      {"/x?a=1%262&b=c%3Dd", "|x a=1&2 b=c=d"},
      {"/x?a=1+2&b", "|x a=1 2 b="},
      {"/x?a=b?c", "|x a=b?c"},
      {"/x?&&a=1&", "|x a=1"},
      {"/x%", "refused"},
      {"/x%2", "refused"},
      {"/x%2g", "refused"},
      {"/x?a=%", "refused"},
      {"/x?%zz=1", "refused"},
      {"/x?=1", "refused"},
      {"/x?a=1&a=2", "refused"},
      {"/x?a=1&%61=2", "refused"},
      {"*", "refused"},
      {"", "refused"},
  };
  for (const auto& [raw, wanted] : rows) EXPECT_EQ(Describe(ParseTarget(raw)), wanted) << raw;
}

TEST(TargetTest, EncodesSoThatEveryKeyComesBack) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(PercentEncode("a/b+c~d"), "a%2Fb%2Bc~d");
  const Result<Target> target = ParseTarget("/k/" + PercentEncode(all) + "?q=" + PercentEncode(all));
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->segments.at(1), all);
  EXPECT_EQ(target->Find("q"), all);
  EXPECT_EQ(target->Find("p"), std::nullopt);
}

}  // namespace
}  // namespace oncegate::control

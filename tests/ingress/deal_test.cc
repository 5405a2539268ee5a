#include "ingress/deal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace oncegate {
namespace {

using ::testing::ElementsAre;

std::vector<size_t> After(size_t connections, std::vector<size_t> open) {
  for (size_t i = 0; i < connections; ++i) ++open[ChooseLoop(open)];
  return open;
}

TEST(DealTest, ALoopGetsConnectionsOnceTheOthersHaveEnough) {
  EXPECT_THAT(After(kConnectionsPerLoop, {0, 0, 0}), ElementsAre(kConnectionsPerLoop, 0, 0));
  EXPECT_THAT(After(kConnectionsPerLoop + 5, {0, 0, 0}), ElementsAre(kConnectionsPerLoop, 5, 0));
  EXPECT_THAT(After(2 * kConnectionsPerLoop + 1, {0, 0, 0}), ElementsAre(kConnectionsPerLoop, kConnectionsPerLoop, 1));
}

TEST(DealTest, ManyAreSpreadEvenly) {
  EXPECT_THAT(After(9000, {0, 0, 0}), ElementsAre(3000, 3000, 3000));
  EXPECT_THAT(After(500, {0}), ElementsAre(500));
}

// Those that leave do so wherever they are.
TEST(DealTest, TheLoopWithTheFewestOfThoseNeededIsNext) {
  EXPECT_EQ(ChooseLoop({60, 10, 0}), 1U);
  EXPECT_EQ(ChooseLoop({10, 60, 0}), 0U);
  EXPECT_EQ(ChooseLoop({0, 40, 40}), 0U);
  EXPECT_EQ(ChooseLoop({70, 70, 3}), 2U);
}

}  // namespace
}  // namespace oncegate

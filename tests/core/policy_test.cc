#include "core/policy.h"

#include <gtest/gtest.h>

namespace oncegate {
namespace {

std::string Members(const StatusSet& set) {
  std::string members;
  for (const int status : {100, 199, 200, 201, 299, 304, 400, 404, 409, 429, 499, 500, 503, 504, 599, 600, 99, 0}) {
    if (set.Contains(status)) members += std::to_string(status) + " ";
  }
  return members;
}

TEST(StatusSet, ReadsLists) {
  EXPECT_EQ(Members(StatusSet::Parse("2xx").value()), "200 201 299 ");
  EXPECT_EQ(Members(StatusSet::Parse("2xx,4xx,!429").value()), "200 201 299 400 404 409 499 ");
  EXPECT_EQ(Members(StatusSet::Parse("404").value()), "404 ");
  EXPECT_EQ(Members(StatusSet::Parse("!429,4xx").value()), "400 404 409 429 499 ");
  EXPECT_EQ(Members(StatusSet::Parse("1xx,5xx").value()), "100 199 500 503 504 599 ");
}

TEST(StatusSet, RefusesWhatIsNotAList) {
  for (const char* list : {"", ",", "2xx,", "6xx", "0xx", "600", "99", "2x", "2xxx", "20O", "2xx 4xx", "!", "!2xx",
                           "2xx,!2xx", "-200", "+20", " 2xx"})
    EXPECT_FALSE(StatusSet::Parse(list).ok()) << "[" << list << "]";
}

TEST(StatusSet, DefaultsFollowTheMode) {
  EXPECT_EQ(Members(StatusSet::DefaultFinal(Mode::kWebhook)), "200 201 299 ");
  EXPECT_EQ(Members(StatusSet::DefaultFinal(Mode::kApi)), "100 199 200 201 299 304 400 404 499 500 599 ");
}

}  // namespace
}  // namespace oncegate

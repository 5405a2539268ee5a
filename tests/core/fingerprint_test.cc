#include "core/fingerprint.h"

#include <gtest/gtest.h>

namespace oncegate {
namespace {

TEST(Fingerprint, CoversMethodPathQueryAndBody) {
  const FingerprintInput base{"POST", "/hook?a=1", "body"};
  const Fingerprint print = MakeFingerprint(FingerprintRecipe::kWholeRequest, base);
  EXPECT_EQ(print, MakeFingerprint(FingerprintRecipe::kWholeRequest, base));
  const FingerprintInput others[] = {{"PATCH", "/hook?a=1", "body"}, {"POST", "/hook?a=2", "body"},
                                     {"POST", "/hook", "body"},      {"POST", "/hook?a=1", "bodz"},
                                     {"POST", "/hook?a=1", ""},      {"POST", "/hook?a=1b", "ody"},
                                     {"POS", "T/hook?a=1", "body"},  {"POST", "/hook?a=1&", "body"}};
  for (const FingerprintInput& other : others) {
    EXPECT_NE(print, MakeFingerprint(FingerprintRecipe::kWholeRequest, other))
        << other.method << " " << other.target << " " << other.body;
  }
}

TEST(Fingerprint, WithoutBodyLeavesOnlyTheBodyOut) {
  const Fingerprint print = MakeFingerprint(FingerprintRecipe::kWithoutBody, {"POST", "/hook", "attempt 1"});
  EXPECT_EQ(print, MakeFingerprint(FingerprintRecipe::kWithoutBody, {"POST", "/hook", "attempt 2"}));
  EXPECT_NE(print, MakeFingerprint(FingerprintRecipe::kWithoutBody, {"POST", "/hook?", "attempt 1"}));
  EXPECT_NE(print, MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", "/hook", "attempt 1"}));
}

}  // namespace
}  // namespace oncegate

#include "core/fingerprint.h"

namespace oncegate {

std::string_view FingerprintRecipeName(FingerprintRecipe recipe) {
  switch (recipe) {
    case FingerprintRecipe::kOpaque:
      return "opaque";
    case FingerprintRecipe::kWholeRequest:
      return "whole_request";
    case FingerprintRecipe::kWithoutBody:
      return "without_body";
  }
  return "opaque";
}

std::optional<FingerprintRecipe> ParseFingerprintRecipe(std::string_view name) {
  for (const auto recipe :
       {FingerprintRecipe::kOpaque, FingerprintRecipe::kWholeRequest, FingerprintRecipe::kWithoutBody}) {
    if (FingerprintRecipeName(recipe) == name) return recipe;
  }
  return std::nullopt;
}

Fingerprint MakeFingerprint(FingerprintRecipe recipe, const FingerprintInput& input) {
  // The target is hashed whole: path and query as received, '?' included, so that "/a?" and "/a" stay apart.
  if (recipe == FingerprintRecipe::kWithoutBody) return {recipe, Sha256OfParts({input.method, input.target})};
  return {recipe, Sha256OfParts({input.method, input.target, input.body})};
}

}  // namespace oncegate

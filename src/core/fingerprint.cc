#include "core/fingerprint.h"

namespace oncegate {

Fingerprint MakeFingerprint(FingerprintRecipe recipe, const FingerprintInput& input) {
  // The target is hashed whole: path and query as received, '?' included, so that "/a?" and "/a" stay apart.
  if (recipe == FingerprintRecipe::kWithoutBody) return {recipe, Sha256OfParts({input.method, input.target})};
  return {recipe, Sha256OfParts({input.method, input.target, input.body})};
}

}  // namespace oncegate

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/hash.h"

namespace oncegate {

// What a fingerprint was made of. Stored in records: never renumber.
enum class FingerprintRecipe : uint8_t {
  kOpaque = 0,        // given by a sidecar client; only comparable with another such
  kWholeRequest = 1,  // method, path, query and body
  kWithoutBody = 2,   // method, path and query, for senders whose body changes between retries
};

// "opaque", "whole_request", "without_body".
std::string_view FingerprintRecipeName(FingerprintRecipe recipe);
std::optional<FingerprintRecipe> ParseFingerprintRecipe(std::string_view name);

// Says whether two requests with one key are the same request. Collision-resistant (SHA-256 of length-prefixed parts).
struct Fingerprint {
  FingerprintRecipe recipe = FingerprintRecipe::kWholeRequest;
  Sha256Digest digest{};

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// The parts of a request that recipes choose from. `target` is path and query, raw, as received: a target without "?"
// and one with an empty query differ.
struct FingerprintInput {
  std::string_view method;
  std::string_view target;
  std::string_view body;
};

// REQUIRES: recipe is not kOpaque.
Fingerprint MakeFingerprint(FingerprintRecipe recipe, const FingerprintInput& input);

}  // namespace oncegate

// Braintree: bt_signature holds pairs "public_key|HMAC-SHA1 of bt_payload"; the HMAC's key is SHA-1 of the private key.
// The challenge that Braintree sends by GET when a webhook is set up is answered by the application.

#include <algorithm>

#include "base/hash.h"
#include "webhook/scheme.h"

namespace oncegate {
namespace {

constexpr size_t kChallengeBytesMin = 20;
constexpr size_t kChallengeBytesMax = 32;

bool IsPayload(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '=' ||
           c == '/' || c == '\n';
  });
}

SignatureVerdict VerifyChallenge(RequestReader& request) {
  Source source;
  source.kind = Source::Kind::kQuery;
  source.name = "bt_challenge";
  const std::optional<std::string> challenge = request.Value(source);
  if (!challenge) return Refusal(SignatureReason::kMissing, "the request has no bt_challenge");
  const bool hex = std::all_of(challenge->begin(), challenge->end(),
                               [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!hex || challenge->size() < kChallengeBytesMin || challenge->size() > kChallengeBytesMax)
    return Refusal(SignatureReason::kMalformed, "bt_challenge is not 20 to 32 hexadecimal digits");
  return Acceptance();
}

// The signature holds with and without the last line's end: both are one payload.
std::string WithoutLineEnds(std::string_view payload) {
  return std::string(payload.substr(0, payload.find_last_not_of('\n') + 1));
}

// Whether one pair of bt_signature is right.
bool PairHolds(const CompiledScheme& scheme, std::string_view pair, std::string_view payload) {
  const size_t bar = pair.find('|');
  std::string mac;
  if (bar == std::string_view::npos || !FromHex(pair.substr(bar + 1), &mac)) return false;
  for (size_t i = 0; i < scheme.secrets.size(); ++i) {
    if (scheme.secrets[i] != pair.substr(0, bar)) continue;
    for (const std::string_view end : {"", "\n"}) {
      const std::string expected = scheme.hmac_keys[i].Sign({payload, end});
      if (expected.size() == mac.size() && SameBytes(expected, mac)) return true;
    }
  }
  return false;
}

}  // namespace

SignatureVerdict VerifyBraintree(const CompiledScheme& scheme, RequestReader& request) {
  if (request.request().method == "GET") return VerifyChallenge(request);
  Source field;
  field.kind = Source::Kind::kForm;
  field.name = "bt_signature";
  const std::optional<std::string> signatures = request.Value(field);
  field.name = "bt_payload";
  const std::optional<std::string> payload = request.Value(field);
  if (!signatures || !payload)
    return Refusal(SignatureReason::kMissing, "the form has no bt_signature or no bt_payload");
  if (!IsPayload(*payload)) return Refusal(SignatureReason::kMalformed, "bt_payload is not base64");
  std::string_view rest = *signatures;
  for (size_t i = 0; i < SignatureVerifier::kCandidatesMax && !rest.empty(); ++i) {
    const size_t end = std::min(rest.find('&'), rest.size());
    if (PairHolds(scheme, rest.substr(0, end), *payload)) return Acceptance(WithoutLineEnds(*payload));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return Refusal(
      SignatureReason::kMismatch,
      "no part of bt_signature is one that these keys make of bt_payload; a secret is public_key|private_key");
}

}  // namespace oncegate

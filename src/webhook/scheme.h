#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "webhook/crypto.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate {

// One scheme of a profile with the secrets that fit it.
struct CompiledScheme {
  const SignatureScheme* scheme = nullptr;
  std::optional<int64_t> tolerance_ms;
  std::vector<HmacKey> hmac_keys;
  std::vector<PublicKey> public_keys;
  std::vector<std::string> secrets;  // as they are used, for schemes that need the text
  std::vector<CertificateChain> chains;

  [[nodiscard]] bool empty() const {
    return hmac_keys.empty() && public_keys.empty() && secrets.empty() && chains.empty();
  }
};

SignatureVerdict Refusal(SignatureReason reason, std::string detail);
SignatureVerdict Acceptance(std::string signed_content = {});

// The schemes that no template can say, each in a file of its own.
SignatureVerdict VerifyTwilio(const CompiledScheme& scheme, RequestReader& request);
SignatureVerdict VerifyAdyenItems(const CompiledScheme& scheme, RequestReader& request);
SignatureVerdict VerifyBraintree(const CompiledScheme& scheme, RequestReader& request);
SignatureVerdict VerifySns(const CompiledScheme& scheme, RequestReader& request, const VerifyTimes& times);
SignatureVerdict VerifyPaypal(const CompiledScheme& scheme, RequestReader& request, const VerifyTimes& times);

// "YYYY-MM-DDTHH:MM:SS[.fraction]Z" in milliseconds since 1970; nothing for anything else.
std::optional<int64_t> ParseUtc(std::string_view text);

// Without spaces and tabs at both ends.
std::string_view Trim(std::string_view text);

// Whether any of the secrets' HMACs over these pieces is `mac`.
bool AnyMac(const std::vector<HmacKey>& keys, const Pieces& pieces, std::string_view mac);

}  // namespace oncegate

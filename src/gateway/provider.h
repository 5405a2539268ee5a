#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/record.h"
#include "gateway/exchange.h"
#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate {

// What a route does besides because its requests come from one provider (--provider). Immutable.
struct ProviderRoute {
  std::shared_ptr<const Profile> profile;
  std::optional<SignatureVerifier> verifier;  // nothing: requests are not signed
  std::string public_url;
  bool makes_keys = true;                    // false: the operator named headers or pointers
  bool makes_types = true;                   // false: likewise
  std::vector<std::string> left_out_labels;  // of the profile's: their values are to be redacted
};

// What a provider's profile says of one request.
struct ProviderFindings {
  SignatureVerdict verdict;  // the rest says nothing unless it is valid
  bool handshake = false;    // forwarded, never remembered
  Result<std::string> key = std::string();
  std::optional<std::string> type;
  Labels labels;
  // Recognises the signed content, under whichever id it comes.
  std::optional<std::string> guard;
};

ProviderFindings Inspect(const ProviderRoute& provider, const InboundRequest& request, int64_t wall_ms);

// The label under which a record says what its signed content is; no label of an operator begins with '~'.
inline constexpr std::string_view kGuardLabel = "~signed";

}  // namespace oncegate

#pragma once

#include <span>
#include <string_view>

#include "cli/serve_flags.h"

namespace oncegate::cli {

inline constexpr std::string_view kProviderGroup = "Provider";

// The flags of who sends: provider, secrets, and what is kept of requests.
std::span<const ServeFlag> ProviderFlags();

// Brings the provider's profile into force where no flag says otherwise, and reads the secrets. Errors as of
// ReadServeOptions; no message holds a secret.
Status ApplyProvider(const GivenFlags& given, ServeOptions* options);

}  // namespace oncegate::cli

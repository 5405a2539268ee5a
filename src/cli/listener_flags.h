#pragma once

#include <span>

#include "cli/serve_flags.h"

namespace oncegate::cli {

// The flags of how clients reach oncegate beyond the addresses themselves: certificates, proxies in
// between, limits on each.
std::span<const ServeFlag> ListenerFlags();

// Loads what those flags name and checks how they fit together, and with the rest. Errors as of ReadServeOptions.
Status CheckListenerFlags(const GivenFlags& given, ServeOptions* options);

}  // namespace oncegate::cli

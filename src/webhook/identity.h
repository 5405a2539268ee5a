#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "webhook/profile.h"
#include "webhook/request.h"
#include "webhook/verifier.h"

namespace oncegate {

// Whether all conditions hold.
bool Hold(const std::vector<Condition>& conditions, RequestReader& request);

// The handshake that the request is; null: it is a delivery.
const Handshake* FindHandshake(const Profile& profile, RequestReader& request);

// The key of a delivery by the first rule that gives one; empty: it has none. InvalidArgument, with a message for the
// sender, if a header that holds the key is repeated.
Result<std::string> WebhookKey(const Profile& profile, RequestReader& request);

// The first value that is there. Nothing: none is.
std::optional<std::string> FirstValue(const std::vector<Source>& sources, RequestReader& request);

// What recognises the signed content of a delivery, whatever its unsigned id says: 64 hexadecimal digits. Nothing where
// the profile has no guard or says that such content repeats, or where a value is absent. REQUIRES: `verdict` is valid.
std::optional<std::string> GuardDigest(const Profile& profile, RequestReader& request, const SignatureVerdict& verdict);

}  // namespace oncegate

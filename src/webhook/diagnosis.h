#pragma once

#include <string>
#include <string_view>

#include "webhook/profile.h"
#include "webhook/request.h"
#include "webhook/verifier.h"

namespace oncegate {

// For people who set a webhook up: looks for the mistake that explains why a request's signature is not right, by
// trying what others have got wrong before. One sentence that says what to mend; empty: nothing fits. Slow, and for
// tools only. `secrets` is the content of the secret file.
std::string DiagnoseMismatch(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                             const VerifyTimes& times);

}  // namespace oncegate

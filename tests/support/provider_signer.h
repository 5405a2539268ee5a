#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "webhook/profile.h"

namespace oncegate {

// A delivery as a provider would send it.
struct ProviderDelivery {
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// The sample of a profile, not yet signed. REQUIRES: it has one.
ProviderDelivery SampleOf(const Profile& profile);

// Replaces text wherever it stands, in headers, target and body.
void ReplaceEverywhere(const std::string& from, const std::string& to, ProviderDelivery* delivery);

// Signs by the profile's first scheme, as its documentation says and independently of the code that verifies.
ProviderDelivery Sign(const Profile& profile, ProviderDelivery delivery, const std::string& secret,
                      const std::string& url, int64_t unix_s);

// A secret of the same form that is another one.
std::string WrongSecret(const Profile& profile);

// The request on the wire.
std::string WireText(const ProviderDelivery& delivery);

}  // namespace oncegate

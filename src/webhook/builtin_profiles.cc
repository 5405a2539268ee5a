#include "webhook/builtin_profiles.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "webhook/profile.h"

namespace oncegate {

std::span<const Profile> BuiltinProfiles() {
  static const std::vector<Profile> kProfiles = [] {
    std::vector<Profile> profiles;
    for (const EmbeddedFile& file : BuiltinProfileFiles()) {
      Result<Profile> profile = ParseProfile(file.text);
      if (!profile.ok()) std::abort();  // they are part of the binary, and a test reads each of them
      profiles.push_back(*std::move(profile));
    }
    std::sort(profiles.begin(), profiles.end(), [](const Profile& a, const Profile& b) { return a.name < b.name; });
    return profiles;
  }();
  return kProfiles;
}

const Profile* FindProfile(std::string_view name) {
  for (const Profile& profile : BuiltinProfiles()) {
    if (profile.name == name) return &profile;
  }
  return nullptr;
}

}  // namespace oncegate

#include "cli/profiles.h"

#include <algorithm>
#include <utility>

#include "cli/files.h"

namespace oncegate::cli {
namespace {

// What is built in is never freed.
Profiles::ProfilePtr BuiltIn(const Profile& profile) {
  return {std::shared_ptr<void>(), &profile};
}

}  // namespace

Result<std::string> Profiles::Add(std::string_view json) {
  Result<Profile> profile = ParseProfile(json);
  if (!profile.ok()) return profile.status();
  std::string name = profile->name;
  if (FindProfile(name) != nullptr)
    return InvalidArgument("'name': '" + name + "' is built in; give this one another name");
  if (Find(name) != nullptr) return InvalidArgument("'name': '" + name + "' is given twice");
  if (own_.size() == kOwnMax) return InvalidArgument("more than " + std::to_string(kOwnMax) + " profiles");
  own_.push_back(std::make_shared<const Profile>(*std::move(profile)));
  return name;
}

Status Profiles::AddFile(const std::string& file) {
  const Result<std::string> text = ReadSmallFile(file, kProfileBytesMax);
  if (!text.ok()) return text.status();
  const Result<std::string> name = Add(*text);
  return name.ok() ? OkStatus() : InvalidArgument("'" + file + "': " + name.status().message());
}

Profiles::ProfilePtr Profiles::Find(std::string_view name) const {
  for (const ProfilePtr& profile : own_) {
    if (profile->name == name) return profile;
  }
  const Profile* const built_in = FindProfile(name);
  return built_in == nullptr ? nullptr : BuiltIn(*built_in);
}

std::vector<Profiles::ProfilePtr> Profiles::All() const {
  std::vector<ProfilePtr> all = own_;
  for (const Profile& profile : BuiltinProfiles()) all.push_back(BuiltIn(profile));
  std::sort(all.begin(), all.end(), [](const ProfilePtr& a, const ProfilePtr& b) { return a->name < b->name; });
  return all;
}

}  // namespace oncegate::cli

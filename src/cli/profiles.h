#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "webhook/profile.h"

namespace oncegate::cli {

// The provider profiles that can be named: those that are built in, and the user's own.
class Profiles {
 public:
  using ProfilePtr = std::shared_ptr<const Profile>;
  static constexpr size_t kOwnMax = 256;

  // Adds one as docs/provider-profiles.md describes it; its name. InvalidArgument, with a message that names the
  // member, for what the schema does not allow and for a name that is taken.
  Result<std::string> Add(std::string_view json);
  // Adds the one in the file; the message names the file.
  Status AddFile(const std::string& file);

  // Null: there is none of that name.
  [[nodiscard]] ProfilePtr Find(std::string_view name) const;
  // All of them, by name.
  [[nodiscard]] std::vector<ProfilePtr> All() const;

 private:
  std::vector<ProfilePtr> own_;
};

}  // namespace oncegate::cli

#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/flag_sources.h"
#include "cli/profiles.h"
#include "cli/serve_flags.h"

namespace oncegate::cli {

// What a routes file says, read but not yet understood (docs/routes.md).
struct RouteText {
  std::string where;  // "routes.json: route 'orders'", for messages
  std::string name;
  std::string prefix;  // as Route::prefix
  bool shared_scope = false;
  GivenFlags flags;                          // its own
  std::set<std::string, std::less<>> unset;  // null: as if no flag said anything
};

struct RoutesText {
  std::vector<RouteText> routes;
  Profiles profiles;  // those that were there before, and the file's
};

inline constexpr size_t kRoutesFileBytesMax = 1 << 20;

// InvalidArgument, with one line that names file, route and member, for everything that is not as docs/routes.md says.
// The values of flags are not looked at.
Result<RoutesText> ReadRoutesFile(const std::string& file, const Profiles& profiles);

// Makes one route of each, and checks how they fit together, with `given`, the flags of the command, as their defaults;
// secret files are read here. Errors as of ReadServeOptions.
Result<std::vector<RouteOptions>> MakeRoutes(const std::string& file, const RoutesText& text, const GivenFlags& given,
                                             std::vector<std::string>* warnings);

}  // namespace oncegate::cli

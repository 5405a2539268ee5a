#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/key.h"
#include "gateway/route.h"

namespace oncegate {

// Which route a request takes. Immutable once in use; a request keeps the route that it took.
class RouteTable {
 public:
  using RoutePtr = std::shared_ptr<const Route>;
  static constexpr size_t kRoutesMax = 256;

  // One route for every path.
  explicit RouteTable(RoutePtr only);
  // Several, told apart by their prefixes. InvalidArgument if there is none, there are too many, or if two share a
  // prefix, a name, or a scope without both saying so.
  static Result<RouteTable> OfSeveral(std::vector<RoutePtr> routes);

  // The route whose prefix is the longest that the target's path begins with, segment by segment, or nowhere(). Paths
  // are compared as an application reads them: "%73" is "s". Allocates nothing. REQUIRES: by_path() is false, or
  // IsPlainPath(target).
  [[nodiscard]] const RoutePtr& Find(std::string_view target) const;

  // The route that a record came by, from what the record says: the one that its target leads to, or the only one that
  // has its scope. Null if neither has the record's scope: nobody knows any more which application it was meant for.
  [[nodiscard]] RoutePtr FindFor(const ScopedKey& key, std::string_view target) const;

  // Whether the path decides.
  [[nodiscard]] bool by_path() const { return by_path_; }
  // Stands for the route where there is none: of no name and no scope.
  [[nodiscard]] const RoutePtr& nowhere() const { return nowhere_; }
  // Longest prefixes first.
  [[nodiscard]] const std::vector<RoutePtr>& routes() const { return routes_; }

 private:
  RouteTable(std::vector<RoutePtr> routes, bool by_path);

  std::vector<RoutePtr> routes_;
  bool by_path_;
  RoutePtr nowhere_;
  size_t prefix_bytes_max_ = 0;
};

// "/orders/" as "/orders", "/" as "", and percent-encoded characters as what they stand for: how Route::prefix is
// written. InvalidArgument, with the text, for what no path can begin with or can be read in two ways.
Result<std::string> ParseRoutePrefix(std::string_view text);

// Whether the path of a target can be read in one way only: no dot segments, no "//", no '\', and none of '/', '.', '\'
// percent-encoded. Two readings of a path must not reach two policies.
bool IsPlainPath(std::string_view target);

}  // namespace oncegate

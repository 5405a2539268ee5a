#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "cli/flag_sources.h"
#include "cli/profiles.h"
#include "control/access.h"
#include "core/policy.h"
#include "gateway/gateway.h"
#include "gateway/route.h"
#include "ingress/ingress.h"
#include "store/rocksdb_store.h"
#include "tls/server_context.h"
#include "upstream/http_upstream.h"

namespace oncegate::cli {

// Who sends the requests, as the flags say it.
struct ProviderOptions {
  std::string name;  // empty: nobody in particular
  std::string secret_file;
  std::string public_url;
  std::optional<int64_t> tolerance_ms;
};

// One of several routes, and where it leads.
struct RouteOptions {
  Route route;  // without its upstream
  UpstreamUrl upstream;
  std::string upstream_ca;
  int64_t connect_timeout_ms = 0;
  GivenFlags given;    // its own and those that it inherits
  GivenFlags derived;  // what its provider's profile says where they say nothing
};

// Everything that `serve` can be told.
struct ServeOptions {
  IngressOptions ingress;
  Endpoint control_listen;
  std::string control_token_file;
  std::vector<control::ControlToken> control_tokens;
  std::string tls_cert_file;
  std::string tls_key_file;
  std::shared_ptr<const tls::ServerContext> tls;  // what the files hold; null: plain HTTP

  std::optional<UpstreamUrl> upstream;
  std::string upstream_ca;
  int64_t connect_timeout_ms = 0;

  RocksDbStoreOptions store;
  Mode mode = Mode::kWebhook;
  Profiles profiles;
  ProviderOptions provider;
  Route route;                       // what the flags say
  std::string routes_file;           // --routes; empty: `route` is the only one
  std::vector<RouteOptions> routes;  // what the file says, with `route` as the default
  GatewayLimits limits;
  int64_t max_buffered = 0;
  int64_t drain_timeout_ms = 0;

  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;

  // The flags that were given, and what a provider's profile says where they say nothing, each with its origin.
  GivenFlags given;
  GivenFlags derived;
  // What is allowed but probably not meant, one sentence each.
  std::vector<std::string> warnings;
  // The text of every flag that has a value, by name: what a reload compares.
  std::map<std::string, std::string, std::less<>> texts;

  // Without an application only the control listener runs.
  [[nodiscard]] bool has_gateway() const { return upstream.has_value() || !routes.empty(); }
};

// Under which the help lists them.
namespace group {
inline constexpr std::string_view kConfiguration = "Configuration";
inline constexpr std::string_view kListeners = "Listeners";
inline constexpr std::string_view kApplication = "Application";
inline constexpr std::string_view kKeys = "Keys";
inline constexpr std::string_view kPolicies = "Policies";
inline constexpr std::string_view kLimits = "Limits";
inline constexpr std::string_view kStore = "Store";
inline constexpr std::string_view kLog = "Log";
}  // namespace group

// One flag of `serve`, in the one table that help, files, variables and reloads are made from.
struct ServeFlag {
  std::string_view name;          // without dashes
  std::string_view group;         // one of group
  std::string_view value;         // what stands for the value in the help
  std::string_view default_text;  // applied when nothing else is given; empty: none
  std::string_view help;
  bool repeatable = false;
  bool reloadable = false;  // SIGHUP brings it into force
  // `values` holds one, or at least one if repeatable.
  Status (*apply)(const std::vector<std::string>& values, ServeOptions& options) = nullptr;
};

std::span<const ServeFlag> ServeFlags();

// The default as the values that `apply` takes. REQUIRES: there is one.
std::vector<std::string> DefaultValues(const ServeFlag& flag);

// Whether the flag says what is done with requests, so that each route can say something else.
bool IsRouteFlag(const ServeFlag& flag);

// The two steps of which ReadServeOptions is made, for routes: reads the values of flags and defaults; then what
// depends on several of them, provider and secrets. InvalidArgument with one line that begins with the flag or its
// origin.
enum class FlagsOf : uint8_t { kServe, kRoute };
Status ApplyFlags(const GivenFlags& given, FlagsOf which, ServeOptions* options);
Status ApplyPolicies(const GivenFlags& given, ServeOptions* options);

// Reads all values and checks how they fit together; reads the files that they name. InvalidArgument with one line that
// begins with the flag ("--ttl: …"), variable or file that is wrong.
Result<ServeOptions> ReadServeOptions(const FlagSources& sources);

}  // namespace oncegate::cli

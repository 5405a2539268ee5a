#include "cli/serve_flags.h"

#include <algorithm>
#include <utility>

#include "cli/flag_values.h"
#include "cli/listener_flags.h"
#include "cli/provider_flags.h"
#include "cli/routes_file.h"
#include "core/key.h"
#include "http/head.h"

namespace oncegate::cli {
namespace {

using Values = std::vector<std::string>;

constexpr int64_t kSecond = 1000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

constexpr size_t kListenersMax = 64;
constexpr size_t kKeyHeadersMax = 16;
constexpr size_t kKeyPointersMax = 16;
constexpr size_t kLabelNameBytesMax = 64;

Status TooMany(size_t max) {
  return InvalidArgument("more than " + std::to_string(max) + " of them");
}

Status ReadOnOff(const std::string& text, bool* out) {
  return ReadChoice<bool>(text, {{"on", true}, {"off", false}}, out);
}

Status ReadEndpoint(const std::string& text, Endpoint* out) {
  Result<Endpoint> endpoint = Endpoint::Parse(text);
  if (!endpoint.ok()) return endpoint.status();
  *out = *std::move(endpoint);
  return OkStatus();
}

Status ReadPointer(const std::string& text, std::optional<JsonPointer>* out) {
  Result<JsonPointer> pointer = JsonPointer::Parse(text);
  if (!pointer.ok()) return pointer.status();
  out->emplace(*std::move(pointer));
  return OkStatus();
}

Status ReadStatuses(const std::string& text, StatusSet* out) {
  Result<StatusSet> set = StatusSet::Parse(text);
  if (set.ok()) *out = *set;
  return set.status();
}

// A word that is stored and shown: the type of all records.
Status ReadType(const std::string& text, std::string* out) {
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (text.empty() || text.size() > kTypeBytesMax || !visible)
    return InvalidArgument("'" + text + "' is not a word of 1 to 128 visible characters such as webhook");
  *out = text;
  return OkStatus();
}

Status ReadScope(const std::string& text, std::string* out) {
  if (!IsValidScope(text)) return InvalidArgument("'" + text + "' is not 1 to 64 characters of A-Z a-z 0-9 . _ -");
  *out = text;
  return OkStatus();
}

// Label names become parts of index keys and of NAME:VALUE in queries.
bool IsLabelName(std::string_view name) {
  return name.size() <= kLabelNameBytesMax && IsValidScope(name);
}

Status ReadListen(const Values& values, ServeOptions& options) {
  if (values.size() > kListenersMax) return TooMany(kListenersMax);
  for (const std::string& value : values) {
    if (Status status = ReadEndpoint(value, &options.ingress.listen.emplace_back()); !status.ok()) return status;
  }
  return OkStatus();
}

Status ReadUpstream(const Values& values, ServeOptions& options) {
  Result<UpstreamUrl> url = UpstreamUrl::Parse(values[0]);
  if (!url.ok()) return url.status();
  options.upstream = *std::move(url);
  return OkStatus();
}

Status ReadKeyHeaders(const Values& values, ServeOptions& options) {
  if (values.size() > kKeyHeadersMax) return TooMany(kKeyHeadersMax);
  options.route.key_headers.clear();
  for (const std::string& value : values) {
    if (Status status = ReadFieldName(value, &options.route.key_headers.emplace_back()); !status.ok()) return status;
  }
  return OkStatus();
}

Status ReadKeyPointers(const Values& values, ServeOptions& options) {
  if (values.size() > kKeyPointersMax) return TooMany(kKeyPointersMax);
  for (const std::string& value : values) {
    Result<JsonPointer> pointer = JsonPointer::Parse(value);
    if (!pointer.ok()) return pointer.status();
    options.route.key_pointers.push_back(*std::move(pointer));
  }
  return OkStatus();
}

Status ReadLabels(const Values& values, ServeOptions& options) {
  auto& labels = options.route.labels;
  for (const std::string& value : values) {
    const size_t equals = value.find('=');
    const std::string name = value.substr(0, equals);
    if (equals == std::string::npos || !IsLabelName(name))
      return InvalidArgument("'" + value + "' is not NAME=POINTER such as order_id=/order/id");
    if (std::any_of(labels.begin(), labels.end(), [&name](const auto& label) { return label.first == name; }))
      return InvalidArgument("'" + name + "' is given twice");
    Result<JsonPointer> pointer = JsonPointer::Parse(std::string_view(value).substr(equals + 1));
    if (!pointer.ok()) return pointer.status();
    labels.emplace_back(name, *std::move(pointer));
  }
  return labels.size() > kLabelsMax ? TooMany(kLabelsMax) : OkStatus();
}

Status ReadUnknownStatus(const Values& values, ServeOptions& options) {
  if (values[0] != "none") return ReadStatuses(values[0], &options.route.unknown_status);
  options.route.unknown_status = StatusSet();
  return OkStatus();
}

Status ReadBusyStatus(const Values& values, ServeOptions& options) {
  int64_t status = 0;
  Status result = ReadNumber(values[0], 400, 599, &status);
  if (result.ok()) options.route.busy_status = static_cast<int>(status);
  return result;
}

// Columns: name, group, value, default, help, repeatable, reloadable, reader.
const ServeFlag kServeFlags[] = {
    {"routes", group::kConfiguration, "FILE", "",
     "Several routes (JSON, docs/routes.md), each with a path prefix and flags of its own; these are their defaults",
     false, true, [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.routes_file); }},

    {"listen", group::kListeners, "HOST:PORT", "127.0.0.1:8080",
     "Where the gateway listens; port 0 picks a free one; repeatable", true, false, ReadListen},
    {"control-listen", group::kListeners, "HOST:PORT", "127.0.0.1:8081",
     "Where health, statistics and records are served; beyond loopback only with --control-token-file", false, false,
     [](const Values& v, ServeOptions& o) { return ReadEndpoint(v[0], &o.control_listen); }},
    {"control-token-file", group::kListeners, "FILE", "",
     "Bearer tokens of the control listener: TOKEN or NAME:TOKEN, one a line", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.control_token_file); }},

    {"upstream", group::kApplication, "URL", "",
     "The application, http:// or https://host:port[/prefix]; without it only the control listener runs", false, true,
     ReadUpstream},
    {"upstream-ca", group::kApplication, "FILE", "", "Certificates (PEM) to trust instead of the system's", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.upstream_ca); }},
    {"upstream-timeout", group::kApplication, "DURATION", "120s",
     "Keyed requests: until the last byte of the answer; passed ones: between reads", false, true,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 1, kDay, &o.route.upstream_timeout_ms); }},
    {"connect-timeout", group::kApplication, "DURATION", "2s", "How long connecting to the application may take", false,
     true,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 1, 300 * kSecond, &o.connect_timeout_ms); }},

    {"scope", group::kKeys, "NAME", "default", "The namespace of keys", false, true,
     [](const Values& v, ServeOptions& o) { return ReadScope(v[0], &o.route.scope); }},
    {"scope-header", group::kKeys, "NAME", "",
     "A hash of this header's value joins the scope, so that clients are kept apart", false, true,
     [](const Values& v, ServeOptions& o) { return ReadFieldName(v[0], &o.route.scope_header); }},
    {"key-header", group::kKeys, "NAME", "X-Idempotency-Key,Idempotency-Key",
     "Headers that hold the key, the first present counts; repeatable, given ones replace the defaults", true, true,
     ReadKeyHeaders},
    {"key-pointer", group::kKeys, "POINTER", "",
     "JSON pointer to the key in the body; alone it turns key headers off; repeatable, values are joined", true, true,
     ReadKeyPointers},
    {"methods", group::kKeys, "LIST", "POST,PATCH", "Methods that are de-duplicated; all others pass through", false,
     true, [](const Values& v, ServeOptions& o) { return ReadMethods(v[0], &o.route.methods); }},
    {"type", group::kKeys, "VALUE", "webhook", "The type of records, for statistics", false, true,
     [](const Values& v, ServeOptions& o) { return ReadType(v[0], &o.route.type); }},
    {"type-header", group::kKeys, "NAME", "", "Takes the type from this header where it is present", false, true,
     [](const Values& v, ServeOptions& o) { return ReadFieldName(v[0], &o.route.type_header); }},
    {"type-pointer", group::kKeys, "POINTER", "", "Takes the type from the body where the JSON pointer leads to one",
     false, true, [](const Values& v, ServeOptions& o) { return ReadPointer(v[0], &o.route.type_pointer); }},
    {"label", group::kKeys, "NAME=POINTER", "", "Stores a value of the body under NAME, to search by; repeatable", true,
     true, ReadLabels},

    {"mode", group::kPolicies, "webhook|api", "webhook", "Which statuses are final by default", false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<Mode>(v[0], {{"webhook", Mode::kWebhook}, {"api", Mode::kApi}}, &o.mode);
     }},
    {"dedupe", group::kPolicies, "on|off|shadow", "on", "off: a pure proxy; shadow: decide and count, change no answer",
     false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<Dedupe>(v[0], {{"on", Dedupe::kOn}, {"off", Dedupe::kOff}, {"shadow", Dedupe::kShadow}},
                                 &o.route.dedupe);
     }},
    {"ttl", group::kPolicies, "DURATION", "24h", "How long a key is remembered, from completion", false, true,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 1, 3650 * kDay, &o.route.ttl_ms); }},
    {"on-missing-key", group::kPolicies, "pass|reject|hash", "pass",
     "Forward unprotected, refuse with 400, or use a hash of the request as its key", false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<MissingKeyPolicy>(v[0],
                                           {{"pass", MissingKeyPolicy::kPass},
                                            {"reject", MissingKeyPolicy::kReject},
                                            {"hash", MissingKeyPolicy::kHash}},
                                           &o.route.on_missing_key);
     }},
    {"on-mismatch", group::kPolicies, "reject|replay", "reject", "A key comes again with a different request", false,
     true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<MismatchPolicy>(
           v[0], {{"reject", MismatchPolicy::kReject}, {"replay", MismatchPolicy::kReplay}}, &o.route.on_mismatch);
     }},
    {"on-in-flight", group::kPolicies, "wait|reject", "wait", "A key comes again while it is being executed", false,
     true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<InFlightPolicy>(v[0], {{"wait", InFlightPolicy::kWait}, {"reject", InFlightPolicy::kReject}},
                                         &o.route.on_in_flight);
     }},
    {"in-flight-wait", group::kPolicies, "DURATION", "5s", "How long such a request waits", false, true,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 0, kHour, &o.route.in_flight_wait_ms); }},
    {"on-unknown", group::kPolicies, "hold|release", "hold", "An earlier attempt may or may not have taken effect",
     false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<UnknownPolicy>(v[0], {{"hold", UnknownPolicy::kHold}, {"release", UnknownPolicy::kRelease}},
                                        &o.route.on_unknown);
     }},
    {"final-status", group::kPolicies, "LIST", "",
     "Statuses stored as the outcome, e.g. 2xx,4xx,!429; default by --mode", false, true,
     [](const Values& v, ServeOptions& o) { return ReadStatuses(v[0], &o.route.final_status); }},
    {"unknown-status", group::kPolicies, "LIST|none", "504",
     "Statuses of an inner proxy that leave the outcome unknown", false, true, ReadUnknownStatus},
    {"busy-status", group::kPolicies, "STATUS", "409",
     "Sent for in-flight and outcome-unknown, for senders that take 4xx as final", false, true, ReadBusyStatus},
    {"on-store-error", group::kPolicies, "reject|forward", "reject",
     "Fail closed (503) or open when the store cannot answer", false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<StoreErrorPolicy>(
           v[0], {{"reject", StoreErrorPolicy::kReject}, {"forward", StoreErrorPolicy::kForward}},
           &o.route.on_store_error);
     }},
    {"store-request-body", group::kPolicies, "on|off", "on", "Keep request bodies, for people and for redelivery",
     false, true, [](const Values& v, ServeOptions& o) { return ReadOnOff(v[0], &o.route.store_request_body); }},
    {"max-stored-body", group::kPolicies, "SIZE", "1MiB",
     "Larger responses pass through and are remembered without their body", false, true,
     [](const Values& v, ServeOptions& o) { return ReadSize(v[0], 0, kGiB, &o.route.max_stored_body); }},

    {"max-body", group::kLimits, "SIZE", "10MiB", "Larger requests are refused", false, false,
     [](const Values& v, ServeOptions& o) { return ReadSize(v[0], 1, kGiB, &o.ingress.max_body); }},
    {"max-connections", group::kLimits, "N", "10000", "Open connections", false, false,
     [](const Values& v, ServeOptions& o) { return ReadCount(v[0], 1, 1'000'000, &o.ingress.max_connections); }},
    {"max-in-flight", group::kLimits, "N", "1024", "Requests accepted and not yet answered", false, false,
     [](const Values& v, ServeOptions& o) { return ReadCount(v[0], 1, 1'000'000, &o.limits.max_in_flight); }},
    {"workers", group::kLimits, "N", "64", "Requests being forwarded at once", false, false,
     [](const Values& v, ServeOptions& o) { return ReadCount(v[0], 1, 4096, &o.limits.workers); }},
    {"max-buffered", group::kLimits, "SIZE", "512MiB", "Request and response bytes in memory, all connections together",
     false, false, [](const Values& v, ServeOptions& o) { return ReadSize(v[0], kMiB, 1024 * kGiB, &o.max_buffered); }},
    {"request-timeout", group::kLimits, "DURATION", "30s", "For receiving a whole request", false, false,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 1, kHour, &o.ingress.request_timeout_ms); }},
    {"idle-timeout", group::kLimits, "DURATION", "75s", "For a connection between two requests", false, false,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 1, kDay, &o.ingress.idle_timeout_ms); }},
    {"drain-timeout", group::kLimits, "DURATION", "30s", "SIGTERM: how long to finish what is in flight", false, true,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 0, kHour, &o.drain_timeout_ms); }},

    {"data-dir", group::kStore, "DIR", "./oncegate-data", "The store; created if absent; used by one process at a time",
     false, false, [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.store.directory); }},
    {"durability", group::kStore, "sync|async", "sync", "async survives kill -9 but not power loss", false, false,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<Durability>(v[0], {{"sync", Durability::kSync}, {"async", Durability::kAsync}},
                                     &o.store.durability);
     }},
    {"restored", group::kStore, "accept|hold", "",
     "What becomes of new keys in a store restored from a backup, which does not start without", false, false,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<RestoredPolicy>(v[0], {{"accept", RestoredPolicy::kAccept}, {"hold", RestoredPolicy::kHold}},
                                         &o.store.restored.emplace());
     }},
    {"cleanup-interval", group::kStore, "DURATION", "1m", "How often expired data is looked for; 0s: only when asked",
     false, false,
     [](const Values& v, ServeOptions& o) { return ReadDuration(v[0], 0, 7 * kDay, &o.store.cleanup_interval_ms); }},
    {"cache-size", group::kStore, "SIZE", "128MiB", "Memory for data that was read", false, false,
     [](const Values& v, ServeOptions& o) { return ReadSize(v[0], kMiB, 1024 * kGiB, &o.store.cache_bytes); }},
    {"memtable-size", group::kStore, "SIZE", "64MiB", "Memory for data that was written and is not yet sorted", false,
     false, [](const Values& v, ServeOptions& o) { return ReadSize(v[0], kMiB, 4 * kGiB, &o.store.memtable_bytes); }},

    {"log-format", group::kLog, "text|json", "text", "Of the log on standard error", false, false,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<LogFormat>(v[0], {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}, &o.log_format);
     }},
    {"log-level", group::kLog, "debug|info|warn|error", "info", "The least that is logged", false, false,
     [](const Values& v, ServeOptions& o) {
       return ReadChoice<LogLevel>(v[0],
                                   {{"debug", LogLevel::kDebug},
                                    {"info", LogLevel::kInfo},
                                    {"warn", LogLevel::kWarn},
                                    {"error", LogLevel::kError}},
                                   &o.log_level);
     }},
};

std::string Text(const Values& values) {
  std::string text;
  for (const std::string& value : values) text.append(text.empty() ? "" : ",").append(value);
  return text;
}

// What a default depends on other flags for.
void FillDefaults(const GivenFlags& given, ServeOptions* options) {
  Route& route = options->route;
  if (!given.contains("final-status")) route.final_status = StatusSet::DefaultFinal(options->mode);
  if (given.contains("key-pointer") && !given.contains("key-header")) route.key_headers.clear();
  if (options->upstream) {
    route.upstream_prefix = options->upstream->prefix;
    route.upstream_authority = options->upstream->authority;
  }
  options->store.remembered_ms = route.ttl_ms;
}

Status ReadTokens(ServeOptions* options) {
  if (!options->control_token_file.empty()) {
    Result<std::vector<control::ControlToken>> tokens = control::LoadTokens(options->control_token_file);
    if (!tokens.ok()) return InvalidArgument("--control-token-file: " + tokens.status().message());
    options->control_tokens = *std::move(tokens);
  } else if (!control::IsLoopback(options->control_listen.host)) {
    return InvalidArgument("--control-listen: '" + options->control_listen.host +
                           "' needs --control-token-file; only a loopback address such as 127.0.0.1 does not");
  }
  return OkStatus();
}

Status CheckTogether(const GivenFlags& given, ServeOptions* options) {
  if (options->max_buffered < options->ingress.max_body)
    return InvalidArgument("--max-buffered: is smaller than one request of --max-body (" +
                           options->texts.find("max-body")->second + ")");
  if (given.contains("listen") && !options->has_gateway())
    options->warnings.emplace_back("--listen without --upstream: the gateway does not run");
  return OkStatus();
}

// With a routes file the flags say nothing by themselves: they are its defaults.
Status ReadRoutes(const GivenFlags& given, ServeOptions* options) {
  if (options->routes_file.empty()) return ApplyPolicies(given, options);
  if (given.contains("scope"))
    return InvalidArgument("--scope: with --routes the name of a route is its scope, or a route says otherwise");
  for (const std::string_view flag : {"secret-file", "tolerance"}) {
    if (given.contains(flag) && !given.contains("provider"))
      return InvalidArgument("--" + std::string(flag) + ": needs --provider; routes with one of their own name theirs");
  }
  const Result<RoutesText> text = ReadRoutesFile(options->routes_file, options->profiles);
  if (!text.ok()) return text.status();
  Result<std::vector<RouteOptions>> routes = MakeRoutes(options->routes_file, *text, given, &options->warnings);
  if (!routes.ok()) return routes.status();
  options->routes = *std::move(routes);
  for (const RouteOptions& route : options->routes)
    options->store.remembered_ms = std::max(options->store.remembered_ms, route.route.ttl_ms);
  return OkStatus();
}

Result<ServeOptions> ReadAll(const FlagSources& sources) {
  std::vector<KnownFlag> known;
  for (const ServeFlag& flag : ServeFlags()) known.push_back({flag.name, flag.repeatable});
  const Result<GivenFlags> given = MergeFlags(sources, known);
  if (!given.ok()) return given.status();
  ServeOptions options;
  options.given = *given;
  if (Status status = ApplyFlags(*given, FlagsOf::kServe, &options); !status.ok()) return status;
  if (Status status = ReadRoutes(*given, &options); !status.ok()) return status;
  if (Status status = ReadTokens(&options); !status.ok()) return status;
  if (Status status = CheckTogether(*given, &options); !status.ok()) return status;
  if (Status status = CheckListenerFlags(*given, &options); !status.ok()) return status;
  return options;
}

}  // namespace

std::span<const ServeFlag> ServeFlags() {
  static const std::vector<ServeFlag> all = [] {
    std::vector<ServeFlag> flags(std::begin(kServeFlags), std::end(kServeFlags));
    for (const std::span<const ServeFlag> more : {ListenerFlags(), ProviderFlags()})
      flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }();
  return all;
}

Values DefaultValues(const ServeFlag& flag) {
  Values values;
  std::string_view text = flag.default_text;
  while (flag.repeatable && text.find(',') != std::string_view::npos) {
    values.emplace_back(text.substr(0, text.find(',')));
    text.remove_prefix(text.find(',') + 1);
  }
  values.emplace_back(text);
  return values;
}

bool IsRouteFlag(const ServeFlag& flag) {
  return flag.group == group::kApplication || flag.group == group::kKeys || flag.group == group::kPolicies ||
         flag.group == kProviderGroup;
}

Status ApplyFlags(const GivenFlags& given, FlagsOf which, ServeOptions* options) {
  for (const ServeFlag& flag : ServeFlags()) {
    if (which == FlagsOf::kRoute && !IsRouteFlag(flag)) continue;
    const auto it = given.find(flag.name);
    if (it == given.end() && flag.default_text.empty()) continue;
    const Values values = it == given.end() ? DefaultValues(flag) : it->second.values;
    if (Status status = flag.apply(values, *options); !status.ok()) {
      const std::string origin = it == given.end() ? "--" + std::string(flag.name) : it->second.origin;
      return InvalidArgument(origin + ": " + status.message());
    }
    options->texts.emplace(flag.name, Text(values));
  }
  return OkStatus();
}

Status ApplyPolicies(const GivenFlags& given, ServeOptions* options) {
  FillDefaults(given, options);
  if (given.contains("upstream-ca") && !(options->upstream && options->upstream->tls))
    return InvalidArgument("--upstream-ca: needs an --upstream that begins with https://");
  if (options->mode == Mode::kApi && options->route.scope_header.empty())
    options->warnings.emplace_back(
        "--mode api without --scope-header: a client that guesses another's key gets the other's answer");
  return ApplyProvider(given, options);
}

Result<ServeOptions> ReadServeOptions(const FlagSources& sources) {
  Result<ServeOptions> options = ReadAll(sources);
  if (options.ok()) return options;
  // Values are quoted in messages as they are, and a message is one line.
  std::string message = options.status().message();
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return InvalidArgument(std::move(message));
}

}  // namespace oncegate::cli

#include "cli/provider_flags.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "cli/files.h"
#include "cli/flag_values.h"
#include "gateway/provider.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate::cli {
namespace {

using Values = std::vector<std::string>;

constexpr int64_t kToleranceMsMax = int64_t{30} * 24 * 3600 * 1000;
constexpr size_t kRedactionsMax = 64;

Status ReadPublicUrl(const Values& values, ServeOptions& options) {
  const std::string& url = values[0];
  const bool http = url.starts_with("https://") || url.starts_with("http://");
  const bool visible = std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!http || !visible || url.find("://") + 3 == url.size())
    return InvalidArgument("'" + url + "' is not an address such as https://hooks.example.com/orders");
  options.provider.public_url = url;
  return OkStatus();
}

Status ReadRedactions(const Values& values, ServeOptions& options) {
  if (values.size() > kRedactionsMax)
    return InvalidArgument("more than " + std::to_string(kRedactionsMax) + " of them");
  for (const std::string& value : values) {
    if (value.starts_with("form:") && value.size() > 5) {
      options.route.redact_fields.push_back(value.substr(5));
      continue;
    }
    Result<JsonPath> path = JsonPath::Parse(value);
    if (!path.ok()) return InvalidArgument(path.status().message() + "; a field of a form is form:NAME");
    if (!path->members().empty()) return InvalidArgument("'" + value + "': braces are for keys; give one pointer each");
    options.route.redact_paths.push_back(*std::move(path));
  }
  return OkStatus();
}

Status ReadProfiles(const Values& values, ServeOptions& options) {
  for (const std::string& file : values) {
    if (Status status = options.profiles.AddFile(file); !status.ok()) return status;
  }
  return OkStatus();
}

// --provider-file first: what is named after it may be in it.
const ServeFlag kProviderFlags[] = {
    {"provider-file", group::kConfiguration, "FILE", "",
     "A provider profile of your own (docs/provider-profiles.md), to be named with --provider; repeatable", true, true,
     ReadProfiles},
    {"provider", kProviderGroup, "NAME", "",
     "Who sends: keys, signatures and policies by profile; see 'oncegate providers'", false, true,
     [](const Values& v, ServeOptions& o) {
       o.provider.name = v[0];
       return o.profiles.Find(v[0]) != nullptr
                  ? OkStatus()
                  : InvalidArgument("'" + v[0] + "' is not known; see 'oncegate providers'");
     }},
    {"secret-file", kProviderGroup, "FILE", "",
     "The provider's signing secrets, one a line, all accepted; reread on SIGHUP", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.provider.secret_file); }},
    {"tolerance", kProviderGroup, "DURATION", "", "How old a signature may be; 0s: any age; default by the provider",
     false, true,
     [](const Values& v, ServeOptions& o) {
       return ReadDuration(v[0], 0, kToleranceMsMax, &o.provider.tolerance_ms.emplace());
     }},
    {"public-url", kProviderGroup, "URL", "",
     "The address that the sender used, for providers that sign it; default: from the request", false, true,
     ReadPublicUrl},
    {"redact", group::kPolicies, "POINTER", "",
     "Replaces values of JSON bodies (* is every element) before a request is stored; form:NAME for forms; repeatable",
     true, true, ReadRedactions},
};

// Whether a value at `place` is within one that is redacted.
bool IsRedacted(const Route& route, const JsonPath& place) {
  const auto& parts = place.parts();
  const auto same = [](const std::optional<std::string>& a, const std::optional<std::string>& b) {
    return !a || !b || *a == *b;  // "*" may be either
  };
  const auto covers = [&](const std::vector<std::optional<std::string>>& redacted) {
    if (redacted.size() > parts.size() + 1) return false;
    if (redacted.size() <= parts.size()) return std::equal(redacted.begin(), redacted.end(), parts.begin(), same);
    return std::equal(parts.begin(), parts.end(), redacted.begin(), same) &&
           std::any_of(place.members().begin(), place.members().end(),
                       [&](const JsonPath::Member& member) { return same(redacted.back(), member.name); });
  };
  return std::any_of(route.redact_paths.begin(), route.redact_paths.end(),
                     [&](const JsonPath& path) { return covers(path.parts()); });
}

bool IsRedacted(const Route& route, const Profile& profile, const Source& source) {
  if (source.kind == Source::Kind::kJson) return IsRedacted(route, profile.paths[source.json]);
  const bool field = source.kind == Source::Kind::kForm || source.kind == Source::Kind::kQuery ||
                     source.kind == Source::Kind::kFormJson;
  return field &&
         std::find(route.redact_fields.begin(), route.redact_fields.end(), source.name) != route.redact_fields.end();
}

bool IsRedacted(const Route& route, const Profile& profile, const KeyRule& rule) {
  for (const KeyPart& part : rule.parts) {
    for (const Source& source : part.any) {
      if (IsRedacted(route, profile, source)) return true;
    }
  }
  if (!rule.items) return false;
  const auto redacted = [&](size_t path) { return IsRedacted(route, profile.paths[path]); };
  return std::any_of(rule.items->with.begin(), rule.items->with.end(), redacted) ||
         std::any_of(rule.items->of.begin(), rule.items->of.end(), redacted);
}

// What is part of a key, a label or a type is stored as such, and can be no secret.
Status CheckRedactions(const Route& route) {
  const auto redacted = [&route](const JsonPointer& pointer) {
    const Result<JsonPath> place = JsonPath::Parse(pointer.text());
    return place.ok() && IsRedacted(route, *place);
  };
  for (const auto& [name, pointer] : route.labels) {
    if (redacted(pointer))
      return InvalidArgument("--redact: '" + pointer.text() + "' is stored as label " + name + " (--label)");
  }
  for (const JsonPointer& pointer : route.key_pointers) {
    if (redacted(pointer)) return InvalidArgument("--redact: '" + pointer.text() + "' is the key (--key-pointer)");
  }
  if (route.type_pointer && redacted(*route.type_pointer))
    return InvalidArgument("--redact: '" + route.type_pointer->text() + "' is the type (--type-pointer)");
  return OkStatus();
}

// The same for what the profile stores. Keys cannot do without it; labels and types can.
Status CheckRedactions(const Route& route, ProviderRoute* provider) {
  const Profile& profile = *provider->profile;
  for (const KeyRule& rule : profile.keys) {
    if (provider->makes_keys && IsRedacted(route, profile, rule))
      return InvalidArgument("--redact: names a part of the key that the profile of " + profile.title +
                             " makes; see 'oncegate providers " + profile.name + "'");
  }
  for (const auto& [name, source] : profile.labels) {
    if (IsRedacted(route, profile, source)) provider->left_out_labels.push_back(name);
  }
  for (const Source& source : profile.type) {
    if (IsRedacted(route, profile, source)) provider->makes_types = false;
  }
  return OkStatus();
}

std::string Joined(const Values& values) {
  std::string text;
  for (const std::string& value : values) text.append(text.empty() ? "" : ",").append(value);
  return text;
}

// What the profile says where no flag does, as flags would say it.
GivenFlags PoliciesOf(const Profile& profile, const GivenFlags& given) {
  GivenFlags derived;
  const auto say = [&](const std::string& name, std::string value) {
    if (!given.contains(name))
      derived.emplace(name, GivenFlag{.values = {std::move(value)}, .origin = "profile " + profile.name});
  };
  say("methods", Joined(profile.methods));
  if (!given.contains("mode")) say("final-status", profile.success_text);
  if (profile.body_may_change) say("on-mismatch", "replay");
  say("in-flight-wait", FormatDurationMs(profile.in_flight_wait_ms));
  say("busy-status", std::to_string(profile.busy_status));
  say("ttl", FormatDurationMs(profile.ttl_ms));
  return derived;
}

Status FillPolicies(const GivenFlags& given, const Profile& profile, ServeOptions* options) {
  options->derived = PoliciesOf(profile, given);
  for (const ServeFlag& flag : ServeFlags()) {
    const auto derived = options->derived.find(flag.name);
    if (derived == options->derived.end()) continue;
    if (Status status = flag.apply(derived->second.values, *options); !status.ok())
      return InvalidArgument("--provider " + profile.name + ": " + std::string(flag.name) + ": " + status.message());
  }
  Route& route = options->route;
  route.connect_retry_ms = profile.connect_retry_ms;
  if (route.ttl_ms < profile.retry_horizon_ms) {
    options->warnings.push_back("--ttl " + FormatDurationMs(route.ttl_ms) + " is shorter than the " +
                                FormatDurationMs(profile.retry_horizon_ms) + " for which " + profile.title +
                                " retries: a late retry would be executed again");
  }
  options->store.remembered_ms = route.ttl_ms;
  return OkStatus();
}

Status ReadSecrets(const Profile& profile, const ServeOptions& options, ProviderRoute* provider) {
  const ProviderOptions& flags = options.provider;
  const bool none = profile.secret == SecretNeed::kNone;
  if (none && !flags.secret_file.empty())
    return InvalidArgument("--secret-file: " + profile.title + " requests are not signed");
  const bool timed = std::any_of(profile.signatures.begin(), profile.signatures.end(),
                                 [](const SignatureScheme& scheme) { return scheme.has_timestamp(); });
  if (flags.tolerance_ms && !timed) return InvalidArgument("--tolerance: " + profile.title + " signs no time");
  if (flags.secret_file.empty()) {
    if (profile.secret != SecretNeed::kRequired) return OkStatus();
    return InvalidArgument("--provider " + profile.name + ": needs --secret-file with the secret that it signs with");
  }
  Result<std::string> secrets = ReadSmallFile(flags.secret_file, SignatureVerifier::kSecretsFileBytesMax);
  if (!secrets.ok()) return InvalidArgument("--secret-file: " + secrets.status().message());
  Result<SignatureVerifier> verifier =
      SignatureVerifier::Create(profile, *secrets, VerifierOptions{flags.tolerance_ms});
  if (!verifier.ok()) return InvalidArgument("--secret-file: " + verifier.status().message());
  provider->verifier.emplace(*std::move(verifier));
  return OkStatus();
}

}  // namespace

std::span<const ServeFlag> ProviderFlags() {
  return kProviderFlags;
}

Status ApplyProvider(const GivenFlags& given, ServeOptions* options) {
  if (Status status = CheckRedactions(options->route); !status.ok()) return status;
  if (options->provider.name.empty()) {
    for (const std::string_view flag : {"secret-file", "tolerance", "public-url"}) {
      if (given.contains(flag)) return InvalidArgument("--" + std::string(flag) + ": needs --provider");
    }
    return OkStatus();
  }
  auto provider = std::make_shared<ProviderRoute>();
  provider->profile = options->profiles.Find(options->provider.name);
  const Profile& profile = *provider->profile;
  provider->public_url = options->provider.public_url;
  provider->makes_keys = !given.contains("key-header") && !given.contains("key-pointer");
  provider->makes_types = !given.contains("type") && !given.contains("type-header") && !given.contains("type-pointer");
  if (Status status = ReadSecrets(profile, *options, provider.get()); !status.ok()) return status;
  if (Status status = FillPolicies(given, profile, options); !status.ok()) return status;
  if (options->route.dedupe == Dedupe::kShadow && provider->verifier)
    options->warnings.push_back("--dedupe shadow forwards what " + profile.title +
                                " has not signed, too: until it is on, the application has to check signatures itself");
  if (Status status = CheckRedactions(options->route, provider.get()); !status.ok()) return status;
  if (provider->makes_keys) options->route.key_headers.clear();
  options->route.provider = std::move(provider);
  return OkStatus();
}

}  // namespace oncegate::cli

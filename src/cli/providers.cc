// oncegate providers: the table of profiles, or one of them.

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/profiles.h"
#include "webhook/profile.h"

namespace oncegate::cli {
namespace {

std::string SourceText(const Source& source, const Profile& profile) {
  switch (source.kind) {
    case Source::Kind::kHeader:
      return "header " + source.name;
    case Source::Kind::kJson:
      return profile.paths[source.json].text();
    case Source::Kind::kForm:
    case Source::Kind::kFormJson:
      return "form " + source.name;
    case Source::Kind::kQuery:
      return "query " + source.name;
    case Source::Kind::kBody:
      return "hash of the body";
    case Source::Kind::kSigned:
      return "what is signed";
  }
  return {};
}

// "header X, /id" for the parts of one rule.
std::string RuleText(const KeyRule& rule, const Profile& profile) {
  std::string text;
  const auto add = [&text](const std::string& part) { text.append(text.empty() ? "" : " + ").append(part); };
  for (const KeyPart& part : rule.parts) add(SourceText(part.any.front(), profile));
  if (!rule.items) return text;
  for (const auto* paths : {&rule.items->with, &rule.items->of}) {
    for (const size_t path : *paths) add(profile.paths[path].text());
  }
  return text;
}

void PrintTable(const Profiles& profiles, std::ostream& out) {
  out << std::left << std::setw(19) << "NAME" << std::setw(35) << "PROVIDER" << std::setw(7) << "TTL"
      << "KEY\n";
  const std::vector<Profiles::ProfilePtr> all = profiles.All();
  for (const Profiles::ProfilePtr& profile : all) {
    out << std::setw(19) << profile->name << std::setw(35) << profile->title << std::setw(7)
        << FormatDurationMs(profile->ttl_ms) << RuleText(profile->keys.front(), *profile) << "\n";
  }
  out << "\n" << all.size() << " providers; 'oncegate providers NAME' shows one.\n" << std::flush;
}

void PrintProfile(const Profile& profile, std::ostream& out) {
  const auto line = [&out](std::string_view name, const std::string& value) {
    out << std::left << std::setw(18) << name << value << "\n";
  };
  line("name", profile.name);
  line("provider", profile.title);
  for (const KeyRule& rule : profile.keys)
    line(&rule == &profile.keys.front() ? "key" : "  or", RuleText(rule, profile));
  for (const SignatureScheme& scheme : profile.signatures) {
    line("signature", SourceText(scheme.signature, profile) +
                          (scheme.tolerance_ms ? ", at most " + FormatDurationMs(*scheme.tolerance_ms) + " old" : ""));
  }
  if (profile.signatures.empty()) line("signature", "none");
  line("same key, other body", profile.body_may_change ? "replayed: bodies change between retries" : "422 key-reused");
  line("ttl", FormatDurationMs(profile.ttl_ms) + ", retries come for " + FormatDurationMs(profile.retry_horizon_ms));
  line("in-flight wait", FormatDurationMs(profile.in_flight_wait_ms));
  if (profile.connect_retry_ms > 0) line("connecting", "tried again for " + FormatDurationMs(profile.connect_retry_ms));
  line("busy status", std::to_string(profile.busy_status));
  line("final statuses", profile.success_text);
  if (profile.replay_guard) line("replay guard", "a signed delivery under another id is the same delivery");
  line("notes", profile.notes);
  out << std::flush;
}

}  // namespace

int RunProviders(const Arguments& arguments, const Console& console) {
  std::string name;
  std::vector<std::string> files;
  bool json = false;
  CommandLine line("Lists the provider profiles, or shows one.", "oncegate providers");
  line.Argument("NAME", &name, "The profile to show", CommandLine::Need::kOptional);
  line.Switch("--json", &json, "Prints the profile as it is written (docs/provider-profiles.md)");
  line.Texts("--provider-file", "FILE", &files, "A profile of your own, besides those that are built in; repeatable");
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  Profiles profiles;
  for (const std::string& file : files) {
    if (Status status = profiles.AddFile(file); !status.ok())
      return Fail(console, kExitUsage, "--provider-file: " + status.message());
  }
  if (name.empty() && !json) {
    PrintTable(profiles, console.out);
    return kExitOk;
  }
  if (name.empty()) {
    char before = '[';
    for (const Profiles::ProfilePtr& profile : profiles.All())
      console.out << std::exchange(before, ',') << profile->json;
    console.out << "]\n" << std::flush;
    return kExitOk;
  }
  const Profiles::ProfilePtr profile = profiles.Find(name);
  if (profile == nullptr) return Fail(console, kExitUsage, "'" + name + "' is not known; see 'oncegate providers'");
  if (json) {
    console.out << profile->json << std::flush;
  } else {
    PrintProfile(*profile, console.out);
  }
  return kExitOk;
}

}  // namespace oncegate::cli

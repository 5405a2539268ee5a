// oncegate check: what the gateway would make of a saved request, without a server.

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/units.h"
#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/files.h"
#include "cli/profiles.h"
#include "cli/saved_request.h"
#include "http/error.h"
#include "webhook/diagnosis.h"
#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate::cli {
namespace {

struct CheckOptions {
  std::string provider;
  std::vector<std::string> provider_files;
  std::string secret_file;
  std::string now;
  std::string tolerance;
  std::string public_url;
  bool json = false;
  RequestSource request;
};

// What there is to say about a request.
struct Report {
  std::string provider;
  std::string key;  // empty: none
  std::string type = "webhook";
  bool valid = false;
  std::string code;  // empty: none
  std::string reason;
};

void PrintReport(const Report& report, bool json, std::ostream& out) {
  const std::string verdict = report.valid ? "valid" : "invalid";
  if (!json) {
    out << "provider " << report.provider << "\nkey      " << (report.key.empty() ? "(none)" : report.key)
        << "\ntype     " << report.type << "\nverdict  " << verdict;
    if (!report.code.empty()) out << " (" << report.code << ")";
    out << "\nreason   " << report.reason << "\n" << std::flush;
    return;
  }
  std::string line;
  const auto member = [&line](std::string_view name, std::string_view value, bool null) {
    line.append(line.empty() ? "{" : ",");
    AppendJsonString(name, &line);
    line.push_back(':');
    if (null) {
      line.append("null");
    } else {
      AppendJsonString(value, &line);
    }
  };
  member("provider", report.provider, false);
  member("key", report.key, report.key.empty());
  member("type", report.type, false);
  member("verdict", verdict, false);
  member("code", report.code, report.code.empty());
  member("reason", report.reason, false);
  out << line << "}\n" << std::flush;
}

// Everything that was read, and the request in the form that the profiles look at.
struct Inputs {
  Profiles::ProfilePtr profile;
  std::string secrets;
  SavedRequest saved;
  std::string url;
  std::vector<HeaderLine> headers;
  VerifyTimes times;
  VerifierOptions verifier;

  [[nodiscard]] WebhookRequest request() const { return {saved.method, saved.target, url, headers, saved.body}; }
};

Result<Inputs> ReadInputs(const CheckOptions& options) {
  Inputs inputs;
  Profiles profiles;
  for (const std::string& file : options.provider_files) {
    if (Status status = profiles.AddFile(file); !status.ok())
      return InvalidArgument("--provider-file: " + status.message());
  }
  inputs.profile = profiles.Find(options.provider);
  if (inputs.profile == nullptr)
    return InvalidArgument("--provider: '" + options.provider + "' is not known; see 'oncegate providers'");
  if (!options.secret_file.empty()) {
    Result<std::string> secrets = ReadSmallFile(options.secret_file, SignatureVerifier::kSecretsFileBytesMax);
    if (!secrets.ok()) return InvalidArgument("--secret-file: " + secrets.status().message());
    inputs.secrets = *std::move(secrets);
  } else if (inputs.profile->secret == SecretNeed::kRequired) {
    return InvalidArgument("--secret-file is missing");
  }
  inputs.times.now_ms = SystemClock().WallMs();
  if (!options.now.empty()) {
    const Result<int64_t> now_ms = ParseDurationMs(options.now + "s");
    if (!now_ms.ok()) return InvalidArgument("--now: '" + options.now + "' is not a number of seconds since 1970");
    inputs.times = {*now_ms, *now_ms};
  }
  if (!options.tolerance.empty()) {
    const Result<int64_t> tolerance = ParseDurationMs(options.tolerance);
    if (!tolerance.ok()) return InvalidArgument("--tolerance: " + tolerance.status().message());
    inputs.verifier.tolerance_ms = *tolerance;
  }
  Result<SavedRequest> saved = options.request.Read();
  if (!saved.ok()) return saved.status();
  inputs.saved = *std::move(saved);
  std::string host = "localhost";
  for (const auto& [name, value] : inputs.saved.headers) {
    inputs.headers.push_back({name, value});
    if (SameName(name, "Host")) host = value;
  }
  inputs.url = !inputs.saved.url.empty() && options.public_url.empty()
                   ? inputs.saved.url
                   : SenderUrl(options.public_url, "https", host, inputs.saved.target);
  return inputs;
}

void Refuse(http::ErrorCode code, std::string reason, Report* report) {
  report->valid = false;
  report->code = http::ErrorName(code);
  report->reason = std::move(reason);
}

// Verdict and reason; false: the secrets cannot be used, and `report->reason` says why.
bool CheckSignature(const Inputs& inputs, RequestReader& reader, Report* report) {
  const Handshake* const handshake = FindHandshake(*inputs.profile, reader);
  report->valid = true;
  if (handshake != nullptr && handshake->is_unsigned) {
    report->reason = "a request that " + inputs.profile->title + " does not sign: it passes and is not de-duplicated";
    return true;
  }
  if (inputs.secrets.empty() || inputs.profile->signatures.empty()) {
    report->reason = inputs.profile->title + " requests are not checked without a secret file";
    return true;
  }
  const Result<SignatureVerifier> verifier =
      SignatureVerifier::Create(*inputs.profile, inputs.secrets, inputs.verifier);
  if (!verifier.ok()) {
    report->reason = "--secret-file: " + verifier.status().message();
    return false;
  }
  const SignatureVerdict verdict = verifier->Verify(reader, inputs.times);
  report->reason = handshake == nullptr ? "the signature is right"
                                        : "the signature is right; a handshake, which passes and is not de-duplicated";
  if (verdict.valid()) return true;
  std::string reason = verdict.detail;
  if (verdict.reason == SignatureReason::kMismatch) {
    const std::string mistake = DiagnoseMismatch(*inputs.profile, inputs.secrets, inputs.request(), inputs.times);
    if (!mistake.empty()) reason = mistake;
  }
  Refuse(verdict.expired() ? http::ErrorCode::kTimestampExpired : http::ErrorCode::kSignatureInvalid, std::move(reason),
         report);
  return true;
}

int Check(const CheckOptions& options, const Console& console) {
  const Result<Inputs> inputs = ReadInputs(options);
  if (!inputs.ok()) return Fail(console, kExitUsage, inputs.status().message());
  const WebhookRequest request = inputs->request();
  RequestReader reader(request, inputs->profile->paths);
  Report report;
  report.provider = inputs->profile->name;
  if (!CheckSignature(*inputs, reader, &report)) return Fail(console, kExitUsage, report.reason);
  report.type = FirstValue(inputs->profile->type, reader).value_or("webhook");
  const Result<std::string> key = WebhookKey(*inputs->profile, reader);
  if (key.ok()) {
    report.key = *key;
  } else if (report.valid) {
    Refuse(http::ErrorCode::kInvalidKey, key.status().message(), &report);
  }
  PrintReport(report, options.json, console.out);
  return report.valid ? kExitOk : kExitFailed;
}

}  // namespace

int RunCheck(const Arguments& arguments, const Console& console) {
  CheckOptions options;
  CommandLine line("Says what the gateway would make of a saved HTTP request: key, type, and whether it is signed.",
                   "oncegate check");
  line.Text("--provider", "NAME", &options.provider, "Whose request it is; see 'oncegate providers'",
            CommandLine::Need::kRequired);
  line.Texts("--provider-file", "FILE", &options.provider_files, "A profile of your own, to be named; repeatable");
  line.Text("--secret-file", "FILE", &options.secret_file, "The provider's secrets, one a line");
  line.Text("--now", "SECONDS", &options.now, "Checks as if it were this moment, in seconds since 1970");
  line.Text("--tolerance", "DURATION", &options.tolerance,
            "How old a signature may be (0s: any age); default by the provider");
  line.Text("--public-url", "URL", &options.public_url, "The address that the sender used, where that is signed");
  line.Switch("--json", &options.json, "Prints one line of JSON");
  options.request.AddTo(line);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return Check(options, console);
}

}  // namespace oncegate::cli

// oncegate check: what the gateway would make of a saved request, without a server.

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/units.h"
#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/files.h"
#include "http/error.h"
#include "webhook/diagnosis.h"
#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate::cli {
namespace {

constexpr size_t kRequestBytesMax = 64 << 20;

struct CheckOptions {
  std::string provider;
  std::string secret_file;
  std::string now;
  std::string tolerance;
  std::string public_url;
  bool json = false;
  std::string file;
};

// A request as people save it: lines may end with LF alone, and Host may be missing.
struct SavedRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

Result<SavedRequest> ParseSaved(std::string_view text) {
  SavedRequest request;
  bool first = true;
  while (true) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return InvalidArgument("the request has no empty line after its head");
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() && !first) break;
    if (first) {
      const size_t method = line.find(' ');
      const size_t target = line.rfind(' ');
      if (method == std::string_view::npos || target == method || !line.substr(target + 1).starts_with("HTTP/"))
        return InvalidArgument("the first line is not like 'POST /webhook HTTP/1.1'");
      request.method = line.substr(0, method);
      request.target = line.substr(method + 1, target - method - 1);
      first = false;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return InvalidArgument("'" + std::string(line) + "' is not a header; one empty line divides head and body");
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    value = value.substr(0, value.find_last_not_of(" \t") + 1);
    request.headers.emplace_back(line.substr(0, colon), value);
  }
  request.body = text;
  return request;
}

Result<std::string> ReadRequest(const std::string& file) {
  if (!file.empty() && file != "-") return ReadSmallFile(file, kRequestBytesMax);
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.size() > kRequestBytesMax) return InvalidArgument("the request is larger than 64 MiB");
  return text;
}

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
  const Profile* profile = nullptr;
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
  inputs.profile = FindProfile(options.provider);
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
  const Result<std::string> text = ReadRequest(options.file);
  if (!text.ok()) return text.status();
  Result<SavedRequest> saved = ParseSaved(*text);
  if (!saved.ok()) return saved.status();
  inputs.saved = *std::move(saved);
  std::string host = "localhost";
  for (const auto& [name, value] : inputs.saved.headers) {
    inputs.headers.push_back({name, value});
    if (SameName(name, "Host")) host = value;
  }
  const bool absolute = inputs.saved.target.find("://") < inputs.saved.target.find('/');
  inputs.url = absolute && options.public_url.empty()
                   ? inputs.saved.target
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
  line.Text("--secret-file", "FILE", &options.secret_file, "The provider's secrets, one a line");
  line.Text("--now", "SECONDS", &options.now, "Checks as if it were this moment, in seconds since 1970");
  line.Text("--tolerance", "DURATION", &options.tolerance,
            "How old a signature may be (0s: any age); default by the provider");
  line.Text("--public-url", "URL", &options.public_url, "The address that the sender used, where that is signed");
  line.Switch("--json", &options.json, "Prints one line of JSON");
  line.Argument("FILE", &options.file, "The request: head, empty line, body; standard input if absent",
                CommandLine::Need::kOptional);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  return Check(options, console);
}

}  // namespace oncegate::cli

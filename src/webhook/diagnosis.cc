#include "webhook/diagnosis.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

namespace oncegate {
namespace {

// Whether the signature is right; its time does not matter here.
bool Holds(const Profile& profile, std::string_view secrets, const WebhookRequest& request, const VerifyTimes& times) {
  const Result<SignatureVerifier> verifier = SignatureVerifier::Create(profile, secrets, {.tolerance_ms = 0});
  if (!verifier.ok()) return false;
  RequestReader reader(request, profile.paths);
  return verifier->Verify(reader, times).valid();
}

std::string WithoutBlanks(std::string_view secrets) {
  std::string trimmed;
  while (!secrets.empty()) {
    const size_t end = std::min(secrets.find('\n'), secrets.size());
    std::string_view line = secrets.substr(0, end);
    secrets.remove_prefix(std::min(end + 1, secrets.size()));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    trimmed.append(line).append("\n");
  }
  return trimmed;
}

struct FormName {
  KeyForm form;
  std::string_view words;
};
constexpr std::array<FormName, 5> kForms{{{KeyForm::kUtf8, "as it stands"},
                                          {KeyForm::kWhsec, "decoded from base64, without whsec_"},
                                          {KeyForm::kBase64, "decoded from base64"},
                                          {KeyForm::kHex, "decoded from hexadecimal"},
                                          {KeyForm::kHtml, "with HTML escapes decoded"}}};

std::string DiagnoseSecret(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                           const VerifyTimes& times) {
  if (Holds(profile, WithoutBlanks(secrets), request, times))
    return "the secret file has blanks before or after a secret; they count as part of it: remove them";
  for (const auto& [form, words] : kForms) {
    Profile other = profile;
    for (SignatureScheme& scheme : other.signatures) {
      if (scheme.kind == SchemeKind::kTemplate) scheme.key_forms = {form};
    }
    if (!Holds(other, secrets, request, times)) continue;
    return "the sender used the secret " + std::string(words) + ", which " + profile.title +
           " does not: this is the request of another provider, or the sender's code is wrong";
  }
  return {};
}

std::string DiagnoseBody(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                         const VerifyTimes& times) {
  WebhookRequest changed = request;
  for (const std::string_view end : {"\r\n", "\n"}) {
    if (!request.body.ends_with(end)) continue;
    changed.body = request.body.substr(0, request.body.size() - end.size());
    if (Holds(profile, secrets, changed, times))
      return "the body ends with a line break that was not signed: the request was saved, or passed on, with one too "
             "many";
  }
  for (const std::string_view end : {"\r\n", "\n"}) {
    const std::string longer = std::string(request.body) + std::string(end);
    changed.body = longer;
    if (Holds(profile, secrets, changed, times))
      return "the body was signed with a line break at its end that is missing here";
  }
  std::string unix_lines(request.body);
  for (size_t at = unix_lines.find("\r\n"); at != std::string::npos; at = unix_lines.find("\r\n", at))
    unix_lines.erase(at, 1);
  changed.body = unix_lines;
  if (Holds(profile, secrets, changed, times))
    return "the body was signed with line feeds alone: something on the way turned them into CRLF";
  return {};
}

std::string DiagnoseUrl(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                        const VerifyTimes& times) {
  std::vector<std::string> urls;
  const std::string url(request.url);
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return {};
  for (const std::string& other : {"https" + url.substr(scheme), "http" + url.substr(scheme)}) {
    urls.push_back(other);
    urls.push_back(other.substr(0, other.find('?')));
    const size_t query = std::min(other.find('?'), other.size());
    const bool slash = query > 0 && other[query - 1] == '/';
    std::string with_slash = other.substr(0, slash ? query - 1 : query);
    with_slash.append(slash ? "" : "/").append(other, query);
    urls.push_back(std::move(with_slash));
  }
  for (const std::string& candidate : urls) {
    if (candidate == url) continue;
    WebhookRequest changed = request;
    changed.url = candidate;
    if (!Holds(profile, secrets, changed, times)) continue;
    std::string sentence = "the public URL differs: signed with ";
    return sentence.append(candidate).append(", checked with ").append(url).append("; set --public-url");
  }
  return {};
}

std::string DiagnoseProvider(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                             const VerifyTimes& times) {
  for (const Profile& other : BuiltinProfiles()) {
    if (other.name == profile.name || other.secret == SecretNeed::kNone || !Holds(other, secrets, request, times))
      continue;
    return "the signature is right for --provider " + other.name;
  }
  return {};
}

}  // namespace

std::string DiagnoseMismatch(const Profile& profile, std::string_view secrets, const WebhookRequest& request,
                             const VerifyTimes& times) {
  for (const auto& diagnose : {DiagnoseSecret, DiagnoseBody, DiagnoseUrl, DiagnoseProvider}) {
    std::string found = diagnose(profile, secrets, request, times);
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace oncegate

// X-Twilio-Signature: HMAC-SHA1 over the address and, for forms, the sorted fields. Other bodies are bound by a
// bodySHA256 in the address.

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/hash.h"
#include "webhook/scheme.h"

namespace oncegate {
namespace {

constexpr std::string_view kFormType = "application/x-www-form-urlencoded";
constexpr std::string_view kBodyDigestField = "bodySHA256";

// The address as it is, without a port, and with the port that its scheme stands for: which of them Twilio signed
// depends on the product and on the scheme.
std::vector<std::string> AddressVariants(std::string_view url) {
  std::vector<std::string> variants{std::string(url)};
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return variants;
  const size_t start = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?", start), url.size());
  const std::string_view authority = url.substr(start, end - start);
  const size_t user = authority.rfind('@');
  const size_t host = user == std::string_view::npos ? 0 : user + 1;
  const size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && colon >= host && authority.find(']', colon) == std::string_view::npos;
  const std::string head(url.substr(0, start + (has_port ? colon : authority.size())));
  const std::string tail(url.substr(end));
  const std::string port = url.starts_with("https") ? ":443" : ":80";
  variants.push_back(head + tail);
  variants.push_back(head + port + tail);
  return variants;
}

bool IsForm(const RequestReader& request) {
  const auto type = request.Header("Content-Type");
  return type && SameName(type->substr(0, kFormType.size()), kFormType);
}

// Name and value of each field, sorted by name, then by value, equal ones once.
std::string SortedFields(const std::vector<FormField>& fields) {
  std::map<std::string_view, std::set<std::string_view>> sorted;
  for (const FormField& field : fields) sorted[field.name].insert(field.value);
  std::string text;
  for (const auto& [name, values] : sorted) {
    for (const std::string_view value : values) text.append(name).append(value);
  }
  return text;
}

}  // namespace

SignatureVerdict VerifyTwilio(const CompiledScheme& scheme, RequestReader& request) {
  const auto header = request.Header("X-Twilio-Signature");
  if (!header || header->empty()) return Refusal(SignatureReason::kMissing, "the header X-Twilio-Signature is missing");
  const std::optional<std::string> mac = DecodeBase64(*header);
  if (!mac) return Refusal(SignatureReason::kMalformed, "the header X-Twilio-Signature is not base64");

  const std::string_view body = request.request().body;
  const std::vector<FormField>* const query = request.Query();
  if (query == nullptr) return Refusal(SignatureReason::kMalformed, "the address has too many fields");
  const auto digest =
      std::find_if(query->begin(), query->end(), [](const FormField& field) { return field.name == kBodyDigestField; });
  std::string fields;
  if (digest == query->end() && !body.empty()) {
    if (!IsForm(request))
      return Refusal(SignatureReason::kMissing, "the body is no form, and the address has no bodySHA256 that binds it");
    const std::vector<FormField>* const form = request.Form();
    if (form == nullptr) return Refusal(SignatureReason::kMalformed, "the form has too many fields");
    fields = SortedFields(*form);
  }
  for (const std::string& address : AddressVariants(request.request().url)) {
    if (!AnyMac(scheme.hmac_keys, {address, fields}, *mac)) continue;
    if (digest != query->end() && !SameName(digest->value, ToHex(DigestOf(Digest::kSha256, {body}))))
      return Refusal(SignatureReason::kBodyMismatch,
                     "the signature is right, but bodySHA256 in the address is of another body");
    return Acceptance(address + fields);
  }
  return Refusal(SignatureReason::kMismatch,
                 "the signature is not one that these secrets make of " + std::string(request.request().url) +
                     " and this body; the address must be the one that Twilio calls (--public-url)");
}

}  // namespace oncegate

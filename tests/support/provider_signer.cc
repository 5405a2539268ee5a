#include "tests/support/provider_signer.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>

#include "base/hash.h"
#include "webhook/encoding.h"
#include "webhook/json_path.h"
#include "webhook/request.h"

namespace oncegate {
namespace {

const unsigned char* Bytes(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Hmac(const EVP_MD* digest, const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  HMAC(digest, key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), mac.data(), &size);
  return {reinterpret_cast<const char*>(mac.data()), size};
}

std::string Hash(const EVP_MD* digest, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), out.data(), &size, digest, nullptr);
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string Base64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), Bytes(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

// The private key of RFC 8032 section 7.1, TEST 2, whose public key the sample of Discord has; or TEST 1, for others.
std::string SignEd25519(const std::string& public_key, const std::string& text) {
  const bool right = public_key.starts_with("3d4017c3");
  std::string raw;
  EXPECT_TRUE(FromHex(right ? "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
                            : "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                      &raw));
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(raw), raw.size()), EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::array<unsigned char, 64> signature{};
  size_t size = signature.size();
  EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()), 1);
  EXPECT_EQ(EVP_DigestSign(context.get(), signature.data(), &size, Bytes(text), text.size()), 1);
  return {reinterpret_cast<const char*>(signature.data()), size};
}

std::string KeyBytes(const SignatureScheme& scheme, const std::string& secret) {
  std::string key = secret;
  switch (scheme.key_forms.front()) {
    case KeyForm::kUtf8:
    case KeyForm::kHtml:
    case KeyForm::kWhpk:
      return key;
    case KeyForm::kHex:
      EXPECT_TRUE(FromHex(secret, &key));
      return key;
    case KeyForm::kBase64:
      return DecodeBase64(secret).value();
    case KeyForm::kWhsec:
      return DecodeBase64(secret.substr(secret.starts_with("whsec_") ? 6 : 0)).value();
  }
  return key;
}

std::string SignText(const SignatureScheme& scheme, const std::string& secret, const std::string& text) {
  switch (scheme.algorithm) {
    case SignatureAlgorithm::kHmacSha1:
      return Hmac(EVP_sha1(), KeyBytes(scheme, secret), text);
    case SignatureAlgorithm::kHmacSha256:
      return Hmac(EVP_sha256(), KeyBytes(scheme, secret), text);
    case SignatureAlgorithm::kHmacSha512:
      return Hmac(EVP_sha512(), KeyBytes(scheme, secret), text);
    case SignatureAlgorithm::kSha256:
      return Hash(EVP_sha256(), text);
    case SignatureAlgorithm::kEqual:
      return secret;
    case SignatureAlgorithm::kEd25519:
      return SignEd25519(secret, text);
    case SignatureAlgorithm::kEcdsaSha256:
      break;
  }
  ADD_FAILURE() << "no sample is signed like this";
  return {};
}

void SetHeader(const std::string& name, const std::string& value, ProviderDelivery* delivery) {
  for (auto& [known, old] : delivery->headers) {
    if (SameName(known, name)) {
      old = value;
      return;
    }
  }
  delivery->headers.emplace_back(name, value);
}

std::string Content(const Profile& profile, const SignatureScheme& scheme, const ProviderDelivery& delivery,
                    const std::string& url, const std::string& timestamp) {
  std::vector<HeaderLine> headers;
  for (const auto& [name, value] : delivery.headers) headers.push_back({name, value});
  const WebhookRequest request{"POST", delivery.target, url, headers, delivery.body};
  RequestReader reader(request, profile.paths);
  std::string text;
  for (const TemplatePiece& piece : scheme.signed_content) {
    if (piece.kind == TemplatePiece::Kind::kText) text += piece.text;
    if (piece.kind == TemplatePiece::Kind::kBody) text += delivery.body;
    if (piece.kind == TemplatePiece::Kind::kTimestamp) text += timestamp;
    if (piece.kind == TemplatePiece::Kind::kMethod) text += "POST";
    if (piece.kind == TemplatePiece::Kind::kUrl || piece.kind == TemplatePiece::Kind::kUrlDecoded) text += url;
    if (piece.kind != TemplatePiece::Kind::kValue) continue;
    std::string value = reader.Value(piece.source).value_or("");
    if (piece.lower)
      std::transform(value.begin(), value.end(), value.begin(),
                     [](char c) { return static_cast<char>(std::tolower(c)); });
    text += value;
  }
  return text;
}

std::string TwilioContent(const ProviderDelivery& delivery, const std::string& url) {
  std::map<std::string, std::set<std::string>> sorted;
  const auto fields = ParseForm(delivery.body);
  for (const FormField& field : fields.value()) sorted[field.name].insert(field.value);
  std::string text = url;
  for (const auto& [name, values] : sorted) {
    for (const std::string& value : values) text += name + value;
  }
  return text;
}

std::string AdyenContent(const ProviderDelivery& delivery) {
  const std::string item = "/notificationItems/*/NotificationRequestItem";
  std::vector<JsonPath> paths;
  for (const std::string value : {"/pspReference", "/originalReference", "/merchantAccountCode", "/merchantReference",
                                  "/amount/value", "/amount/currency", "/eventCode", "/success"})
    paths.push_back(*JsonPath::Parse(item + value));
  const auto found = FindJson(delivery.body, paths);
  std::string text;
  for (const JsonMatches& matches : *found) text += (matches.empty() ? "" : *matches[0].values[0]) + ":";
  text.pop_back();
  return text;
}

ProviderDelivery SignSpecial(SchemeKind kind, ProviderDelivery delivery, const std::string& secret,
                             const std::string& url) {
  if (kind == SchemeKind::kTwilio) {
    SetHeader("X-Twilio-Signature", Base64(Hmac(EVP_sha1(), secret, TwilioContent(delivery, url))), &delivery);
  } else if (kind == SchemeKind::kAdyenItems) {
    std::string key;
    EXPECT_TRUE(FromHex(secret, &key));
    ReplaceEverywhere("@signature@", Base64(Hmac(EVP_sha256(), key, AdyenContent(delivery))), &delivery);
  } else if (kind == SchemeKind::kBraintree) {
    const size_t bar = secret.find('|');
    const std::string payload = delivery.body.substr(delivery.body.find("bt_payload=") + 11);
    const std::string mac = Hmac(EVP_sha1(), Hash(EVP_sha1(), secret.substr(bar + 1)), payload);
    ReplaceEverywhere("@signature@", secret.substr(0, bar) + "%7C" + ToHex(mac), &delivery);
  } else {
    ADD_FAILURE() << "no sample is signed like this";
  }
  return delivery;
}

}  // namespace

ProviderDelivery SampleOf(const Profile& profile) {
  return {profile.sample->target, profile.sample->headers, profile.sample->body};
}

void ReplaceEverywhere(const std::string& from, const std::string& to, ProviderDelivery* delivery) {
  const auto replace = [&](std::string* text) {
    for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size()))
      text->replace(at, from.size(), to);
  };
  for (auto& [name, value] : delivery->headers) replace(&value);
  replace(&delivery->target);
  replace(&delivery->body);
}

ProviderDelivery Sign(const Profile& profile, ProviderDelivery delivery, const std::string& secret,
                      const std::string& url, int64_t unix_s) {
  if (profile.signatures.empty()) return delivery;
  // Adyen's sample is of the classic kind, which is signed in the body.
  const bool in_body = delivery.body.find("@signature@") != std::string::npos;
  const auto scheme = std::find_if(profile.signatures.begin(), profile.signatures.end(), [in_body](const auto& one) {
    return in_body == (one.signature.kind != Source::Kind::kHeader);
  });
  if (scheme == profile.signatures.end()) return delivery;  // its signature would be in a body that it does not have
  if (scheme->kind != SchemeKind::kTemplate) return SignSpecial(scheme->kind, std::move(delivery), secret, url);
  const std::string timestamp = std::to_string(scheme->unit == TimestampUnit::kMilliseconds ? unix_s * 1000 : unix_s);
  std::string signed_time = timestamp;
  if (scheme->timestamp && scheme->timestamp->kind == Source::Kind::kHeader)
    SetHeader(scheme->timestamp->name, timestamp, &delivery);
  const std::string raw = SignText(*scheme, secret, Content(profile, *scheme, delivery, url, signed_time));
  std::string text = scheme->encoding == SignatureEncoding::kHex ? ToHex(raw) : raw;
  if (scheme->encoding == SignatureEncoding::kBase64) text = Base64(raw);
  if (in_body) {
    ReplaceEverywhere("@signature@", text, &delivery);
    return delivery;
  }
  if (scheme->format == SignatureFormat::kMember) {
    text = scheme->timestamp_member + "=" + timestamp + scheme->separator + scheme->prefix + "=" + text;
  } else {
    text = scheme->prefix + text;
  }
  std::string name = scheme->signature.name;
  if (name.ends_with('*')) name.back() = '1';
  SetHeader(name, text, &delivery);
  return delivery;
}

std::string WrongSecret(const Profile& profile) {
  const std::string& secret = profile.sample->secret;
  std::string wrong = secret;
  const bool hex = std::any_of(profile.signatures.begin(), profile.signatures.end(), [](const SignatureScheme& scheme) {
    return !scheme.key_forms.empty() && scheme.key_forms.front() == KeyForm::kHex;
  });
  // The first digits after a prefix: still hexadecimal, still base64.
  const size_t at = hex ? 0 : secret.size() / 2;
  wrong[at] = wrong[at] == '1' ? '2' : '1';
  return wrong;
}

std::string WireText(const ProviderDelivery& delivery) {
  std::string text = "POST " + delivery.target + " HTTP/1.1\r\nHost: hooks.example.com\r\n";
  for (const auto& [name, value] : delivery.headers) text.append(name).append(": ").append(value).append("\r\n");
  return text + "Content-Length: " + std::to_string(delivery.body.size()) + "\r\n\r\n" + delivery.body;
}

}  // namespace oncegate

// The secrets of a file, as keys of the schemes that they fit.

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "webhook/encoding.h"
#include "webhook/scheme.h"
#include "webhook/verifier.h"

namespace oncegate {
namespace {

std::optional<std::string> KeyBytes(KeyForm form, std::string_view secret) {
  std::string bytes;
  switch (form) {
    case KeyForm::kUtf8:
      return std::string(secret);
    case KeyForm::kHtml:
      return DecodeHtml(secret);
    case KeyForm::kHex:
      return FromHex(Trim(secret), &bytes) ? std::optional(bytes) : std::nullopt;
    case KeyForm::kBase64:
      return DecodeBase64(Trim(secret));
    case KeyForm::kWhsec:
      secret = Trim(secret);
      return DecodeBase64(secret.starts_with("whsec_") ? secret.substr(6) : secret);
    case KeyForm::kWhpk:
      secret = Trim(secret);
      return secret.starts_with("whpk_") ? DecodeBase64(secret.substr(5)) : std::nullopt;
  }
  return std::nullopt;
}

void AddKey(std::string key, CompiledScheme* compiled) {
  switch (compiled->scheme->algorithm) {
    case SignatureAlgorithm::kHmacSha1:
      compiled->hmac_keys.emplace_back(Digest::kSha1, key);
      return;
    case SignatureAlgorithm::kHmacSha256:
      compiled->hmac_keys.emplace_back(Digest::kSha256, key);
      return;
    case SignatureAlgorithm::kHmacSha512:
      compiled->hmac_keys.emplace_back(Digest::kSha512, key);
      return;
    case SignatureAlgorithm::kSha256:
    case SignatureAlgorithm::kEqual:
      compiled->secrets.push_back(std::move(key));
      return;
    case SignatureAlgorithm::kEd25519:
      if (auto public_key = PublicKey::FromEd25519(key)) compiled->public_keys.push_back(*std::move(public_key));
      return;
    case SignatureAlgorithm::kEcdsaSha256:
      if (auto public_key = PublicKey::FromP256(key)) compiled->public_keys.push_back(*std::move(public_key));
      return;
  }
}

bool IsPem(std::string_view secret) {
  return secret.starts_with("-----BEGIN ");
}

// Adds a secret to a scheme if it is of a form that the scheme uses.
void AddSecret(const std::string& secret, CompiledScheme* compiled) {
  switch (compiled->scheme->kind) {
    case SchemeKind::kTemplate:
      for (const KeyForm form : compiled->scheme->key_forms) {
        if (auto key = KeyBytes(form, secret); key && !key->empty()) AddKey(*std::move(key), compiled);
      }
      return;
    case SchemeKind::kTwilio:
      if (!IsPem(secret)) compiled->hmac_keys.emplace_back(Digest::kSha1, secret);
      return;
    case SchemeKind::kAdyenItems:
      if (auto key = KeyBytes(KeyForm::kHex, secret)) compiled->hmac_keys.emplace_back(Digest::kSha256, *key);
      return;
    case SchemeKind::kBraintree: {
      const size_t bar = secret.find('|');
      if (bar == std::string::npos || bar == 0 || bar + 1 == secret.size()) return;
      const std::string_view private_key = std::string_view(secret).substr(bar + 1);
      compiled->secrets.push_back(secret.substr(0, bar));
      compiled->hmac_keys.emplace_back(Digest::kSha1, DigestOf(Digest::kSha1, {private_key}));
      return;
    }
    case SchemeKind::kSns:
    case SchemeKind::kPaypal:
      if (compiled->scheme->kind == SchemeKind::kPaypal && secret.starts_with("webhook_id="))
        compiled->secrets.push_back(secret.substr(std::string_view("webhook_id=").size()));
      return;
  }
}

// The certificates of a file make one chain, wherever they stand in it.
Status AddChain(const std::vector<std::string>& secrets, CompiledScheme* compiled) {
  const bool paypal = compiled->scheme->kind == SchemeKind::kPaypal;
  if (!paypal && compiled->scheme->kind != SchemeKind::kSns) return OkStatus();
  std::string pem;
  for (const std::string& secret : secrets) pem.append(IsPem(secret) ? secret + "\n" : "");
  std::optional<CertificateChain> chain = CertificateChain::FromPem(pem);
  if (!chain) return InvalidArgument("the file holds no certificate (PEM) that signs, or one that cannot be read");
  if (paypal && compiled->secrets.empty()) return InvalidArgument("the file holds no line webhook_id=…");
  compiled->chains.push_back(*std::move(chain));
  return OkStatus();
}

size_t SizeOf(const CompiledScheme& compiled) {
  return compiled.hmac_keys.size() + compiled.public_keys.size() + compiled.secrets.size();
}

}  // namespace

Result<std::vector<std::string>> SplitSecrets(std::string_view file) {
  if (file.size() > SignatureVerifier::kSecretsFileBytesMax) return InvalidArgument("the file is larger than 256 KiB");
  std::vector<std::string> secrets;
  bool in_block = false;
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (in_block) {
      secrets.back().append("\n").append(line);
      in_block = !line.starts_with("-----END ");
    } else if (!line.empty()) {
      secrets.emplace_back(line);
      in_block = line.starts_with("-----BEGIN ");
    }
  }
  if (secrets.empty()) return InvalidArgument("the file holds no secret");
  if (secrets.size() > SignatureVerifier::kSecretsMax) return InvalidArgument("the file holds more than 32 secrets");
  return secrets;
}

Result<SignatureVerifier> SignatureVerifier::Create(const Profile& profile, std::string_view secrets,
                                                    const VerifierOptions& options) {
  const Result<std::vector<std::string>> lines = SplitSecrets(secrets);
  if (!lines.ok()) return lines.status();
  SignatureVerifier verifier(profile);
  for (const SignatureScheme& scheme : profile.signatures) {
    CompiledScheme& compiled = verifier.schemes_.emplace_back();
    compiled.scheme = &scheme;
    compiled.tolerance_ms = options.tolerance_ms ? options.tolerance_ms : scheme.tolerance_ms;
    if (compiled.tolerance_ms == 0) compiled.tolerance_ms.reset();
  }
  for (size_t i = 0; i < lines->size(); ++i) {
    bool used = IsPem((*lines)[i]);
    for (CompiledScheme& compiled : verifier.schemes_) {
      const size_t before = SizeOf(compiled);
      AddSecret((*lines)[i], &compiled);
      used = used || SizeOf(compiled) > before;
    }
    if (!used)
      return InvalidArgument("secret " + std::to_string(i + 1) + " of the file is not of a form that " + profile.title +
                             " uses");
  }
  for (CompiledScheme& compiled : verifier.schemes_) {
    if (Status status = AddChain(*lines, &compiled); !status.ok()) return status;
  }
  return verifier;
}

}  // namespace oncegate

#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <string>

namespace oncegate {

// Keys and certificates that tests make for themselves, to sign as Amazon SNS, PayPal and SendGrid do.
using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

struct Identity {
  Key key;
  Certificate certificate;
};

struct CertificateFacts {
  std::string name;  // the common name
  int64_t from_s = 0;
  int64_t until_s = 0;
  bool authority = false;
};

Key NewRsaKey();
Key NewEcKey();  // on P-256

// `issuer` null: self-signed.
Certificate IssueCertificate(const Identity& subject, const CertificateFacts& facts, const Identity* issuer);

std::string Pem(const Certificate& certificate);
// The DER SubjectPublicKeyInfo.
std::string PublicKeyBase64(const Key& key);
// A signature of the text's SHA-256.
std::string SignBase64(const Key& key, const std::string& text);

}  // namespace oncegate

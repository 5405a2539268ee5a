#include "tests/support/signing_identity.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace oncegate {
namespace {

std::string BytesAsBase64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  text.resize(static_cast<size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                  reinterpret_cast<const unsigned char*>(bytes.data()),
                                                  static_cast<int>(bytes.size()))));
  return text;
}

}  // namespace

Key NewRsaKey() {
  return {EVP_RSA_gen(2048), EVP_PKEY_free};
}

Key NewEcKey() {
  return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}

Certificate IssueCertificate(const Identity& subject, const CertificateFacts& facts, const Identity* issuer) {
  Certificate certificate(X509_new(), X509_free);
  X509* const x509 = certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  ASN1_TIME_set(X509_getm_notBefore(x509), facts.from_s);
  ASN1_TIME_set(X509_getm_notAfter(x509), facts.until_s);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(facts.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x509, X509_get_subject_name(issuer == nullptr ? x509 : issuer->certificate.get()));
  X509_set_pubkey(x509, subject.key.get());
  X509_EXTENSION* const constraints =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, facts.authority ? "critical,CA:TRUE" : "CA:FALSE");
  X509_add_ext(x509, constraints, -1);
  X509_EXTENSION_free(constraints);
  X509_sign(x509, (issuer == nullptr ? subject : *issuer).key.get(), EVP_sha256());
  return certificate;
}

std::string Pem(const Certificate& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(bio.get(), certificate.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string PublicKeyBase64(const Key& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  std::string text = BytesAsBase64({reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return text;
}

std::string SignBase64(const Key& key, const std::string& text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, text.size());
  signature.resize(size);
  return BytesAsBase64(signature);
}

}  // namespace oncegate

#include "webhook/crypto.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace oncegate {
namespace {

template <auto FreeFunction>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    FreeFunction(pointer);
  }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Free<EVP_MAC_CTX_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;

void Check(bool ok) {
  if (!ok) std::abort();  // only out of memory or a broken OpenSSL gets here; a wrong verdict must not leave
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

const char* DigestName(Digest digest) {
  switch (digest) {
    case Digest::kSha1:
      return "SHA1";
    case Digest::kSha256:
      return "SHA256";
    case Digest::kSha512:
      return "SHA512";
  }
  return "";
}

const EVP_MD* HashOf(PublicKey::Scheme scheme) {
  switch (scheme) {
    case PublicKey::Scheme::kEd25519:
      return nullptr;  // hashes by itself
    case PublicKey::Scheme::kRsaSha1:
      return EVP_sha1();
    case PublicKey::Scheme::kEcdsaSha256:
    case PublicKey::Scheme::kRsaSha256:
      return EVP_sha256();
  }
  return nullptr;
}

int TypeOf(PublicKey::Scheme scheme) {
  switch (scheme) {
    case PublicKey::Scheme::kEd25519:
      return EVP_PKEY_ED25519;
    case PublicKey::Scheme::kEcdsaSha256:
      return EVP_PKEY_EC;
    case PublicKey::Scheme::kRsaSha1:
    case PublicKey::Scheme::kRsaSha256:
      return EVP_PKEY_RSA;
  }
  return EVP_PKEY_NONE;
}

bool VerifyWith(EVP_PKEY* key, PublicKey::Scheme scheme, const Pieces& pieces, std::string_view signature) {
  if (EVP_PKEY_get_base_id(key) != TypeOf(scheme)) return false;
  std::string whole;
  for (const std::string_view piece : pieces) whole += piece;
  const DigestContext context(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(context.get(), nullptr, HashOf(scheme), nullptr, key) != 1) return false;
  return EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(whole), whole.size()) == 1;
}

}  // namespace

std::string DigestOf(Digest digest, const Pieces& pieces) {
  const DigestContext context(EVP_MD_CTX_new());
  Check(EVP_DigestInit_ex2(context.get(), EVP_get_digestbyname(DigestName(digest)), nullptr) == 1);
  for (const std::string_view piece : pieces) Check(EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  Check(EVP_DigestFinal_ex(context.get(), out.data(), &size) == 1);
  return {reinterpret_cast<const char*>(out.data()), size};
}

bool SecretsEqual(std::string_view a, std::string_view b) {
  const std::string left = DigestOf(Digest::kSha256, {a});
  const std::string right = DigestOf(Digest::kSha256, {b});
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

bool SameBytes(std::string_view a, std::string_view b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct HmacKey::Context {
  MacContext prepared;
};

HmacKey::HmacKey(Digest digest, std::string_view key) : context_(std::make_unique<Context>()) {
  static EVP_MAC* const kHmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  context_->prepared.reset(EVP_MAC_CTX_new(kHmac));
  std::string name = DigestName(digest);
  const std::array<OSSL_PARAM, 2> parameters{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0),
                                             OSSL_PARAM_construct_end()};
  // OpenSSL takes a null key for "as before".
  const unsigned char* bytes = key.empty() ? reinterpret_cast<const unsigned char*>("") : Bytes(key);
  Check(EVP_MAC_init(context_->prepared.get(), bytes, key.size(), parameters.data()) == 1);
}

HmacKey::~HmacKey() = default;
HmacKey::HmacKey(HmacKey&& other) noexcept = default;

std::string HmacKey::Sign(const Pieces& pieces) const {
  const MacContext context(EVP_MAC_CTX_dup(context_->prepared.get()));
  Check(context != nullptr);
  for (const std::string_view piece : pieces) Check(EVP_MAC_update(context.get(), Bytes(piece), piece.size()) == 1);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  size_t size = 0;
  Check(EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1);
  return {reinterpret_cast<const char*>(out.data()), size};
}

struct PublicKey::Key {
  KeyPointer pointer;
};

std::optional<PublicKey> PublicKey::FromEd25519(std::string_view raw) {
  KeyPointer key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(raw), raw.size()));
  if (key == nullptr) return std::nullopt;
  return PublicKey(std::make_shared<const Key>(Key{std::move(key)}));
}

std::optional<PublicKey> PublicKey::FromP256(std::string_view der) {
  const unsigned char* next = Bytes(der);
  KeyPointer key(d2i_PUBKEY(nullptr, &next, static_cast<long>(der.size())));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256)
    return std::nullopt;
  return PublicKey(std::make_shared<const Key>(Key{std::move(key)}));
}

bool PublicKey::Verify(Scheme scheme, const Pieces& pieces, std::string_view signature) const {
  return VerifyWith(key_->pointer.get(), scheme, pieces, signature);
}

struct CertificateChain::Certificates {
  std::vector<Certificate> all;

  [[nodiscard]] Trust TrustIn(X509* leaf, int64_t unix_s, std::span<const std::string> names) const;
  [[nodiscard]] bool MaySign(X509* certificate) const { return all.size() == 1 || X509_check_ca(certificate) == 0; }
};

CertificateChain::Trust CertificateChain::Certificates::TrustIn(X509* leaf, int64_t unix_s,
                                                                std::span<const std::string> names) const {
  const bool named = std::any_of(names.begin(), names.end(), [leaf](const std::string& name) {
    return X509_check_host(leaf, name.data(), name.size(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
  });
  if (!named) return Trust::kWrongName;
  const std::unique_ptr<X509_STORE, Free<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<STACK_OF(X509), Free<[](STACK_OF(X509) * stack) { sk_X509_free(stack); }>> others(
      sk_X509_new_null());
  const bool has_root = std::any_of(all.begin(), all.end(), [](const Certificate& one) {
    return (X509_get_extension_flags(one.get()) & EXFLAG_SS) != 0;
  });
  for (const Certificate& one : all) {
    const bool root = (X509_get_extension_flags(one.get()) & EXFLAG_SS) != 0;
    const bool anchor = all.size() == 1 || (has_root ? root : &one == &all.back());
    Check((anchor ? X509_STORE_add_cert(store.get(), one.get()) : sk_X509_push(others.get(), one.get())) > 0);
  }
  const std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  Check(X509_STORE_CTX_init(context.get(), store.get(), leaf, others.get()) == 1);
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(parameters, unix_s);
  if (X509_verify_cert(context.get()) == 1) return Trust::kOk;
  const int error = X509_STORE_CTX_get_error(context.get());
  const bool dates = error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
  return dates ? Trust::kNotValidThen : Trust::kUntrusted;
}

CertificateChain::CertificateChain(std::unique_ptr<const Certificates> certificates)
    : certificates_(std::move(certificates)) {}
CertificateChain::~CertificateChain() = default;
CertificateChain::CertificateChain(CertificateChain&& other) noexcept = default;

std::optional<CertificateChain> CertificateChain::FromPem(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  size_t announced = 0;
  for (size_t at = pem.find(kBegin); at != std::string_view::npos; at = pem.find(kBegin, at + 1)) ++announced;
  if (announced == 0 || announced > kCertificatesMax) return std::nullopt;
  const std::unique_ptr<BIO, Free<BIO_free>> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  auto certificates = std::make_unique<Certificates>();
  for (size_t i = 0; i < announced; ++i) {
    Certificate one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (one == nullptr) return std::nullopt;
    X509_check_purpose(one.get(), -1, 0);  // fills in what is remembered of its extensions, before threads share it
    certificates->all.push_back(std::move(one));
  }
  const auto may_sign = [&certificates](const Certificate& one) { return certificates->MaySign(one.get()); };
  if (std::none_of(certificates->all.begin(), certificates->all.end(), may_sign)) return std::nullopt;
  return CertificateChain(std::move(certificates));
}

CertificateChain::Verdict CertificateChain::Verify(PublicKey::Scheme scheme, const Pieces& pieces,
                                                   std::string_view signature, int64_t unix_s,
                                                   std::span<const std::string> names) const {
  Verdict verdict;
  for (const Certificate& leaf : certificates_->all) {
    if (!certificates_->MaySign(leaf.get())) continue;
    const Trust trust = certificates_->TrustIn(leaf.get(), unix_s, names);
    if (verdict.trust != Trust::kOk) verdict.trust = trust;
    EVP_PKEY* const key = X509_get0_pubkey(leaf.get());
    if (trust != Trust::kOk || key == nullptr || !VerifyWith(key, scheme, pieces, signature)) continue;
    verdict.verified = true;
    return verdict;
  }
  return verdict;
}

}  // namespace oncegate

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oncegate {

using Pieces = std::vector<std::string_view>;  // bytes that count as if they stood one behind the other

enum class Digest : uint8_t { kSha1, kSha256, kSha512 };

// Raw bytes of the digest.
std::string DigestOf(Digest digest, const Pieces& pieces);

// Whether both are the same; how long it takes says nothing about where they differ, nor about the secret's length.
bool SecretsEqual(std::string_view a, std::string_view b);
// The same for texts whose lengths are no secret. REQUIRES: they are equally long.
bool SameBytes(std::string_view a, std::string_view b);

// HMAC (RFC 2104) with a key that was prepared once. Immutable; may be used from any thread.
class HmacKey {
 public:
  HmacKey(Digest digest, std::string_view key);
  ~HmacKey();
  HmacKey(HmacKey&& other) noexcept;
  HmacKey& operator=(HmacKey&&) = delete;

  [[nodiscard]] std::string Sign(const Pieces& pieces) const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// A key that verifies signatures. Immutable; may be used from any thread.
class PublicKey {
 public:
  enum class Scheme : uint8_t { kEd25519, kEcdsaSha256, kRsaSha1, kRsaSha256 };

  // Ed25519: the 32 raw bytes. ECDSA: a DER SubjectPublicKeyInfo on P-256. Nothing for anything else.
  static std::optional<PublicKey> FromEd25519(std::string_view raw);
  static std::optional<PublicKey> FromP256(std::string_view der);

  [[nodiscard]] bool Verify(Scheme scheme, const Pieces& pieces, std::string_view signature) const;

 private:
  friend class CertificateChain;
  struct Key;
  explicit PublicKey(std::shared_ptr<const Key> key) : key_(std::move(key)) {}
  std::shared_ptr<const Key> key_;  // shared by copies of this object; it never changes
};

// The certificates of one file: those that sign, and those that vouch for them. One certificate alone is trusted as it
// is (pinned). Of several, the ones that belong to no authority sign, and each must chain up to a self-signed one of
// the file, or where there is none, to the last. Immutable; may be used from any thread.
class CertificateChain {
 public:
  static constexpr size_t kCertificatesMax = 16;

  enum class Trust : uint8_t { kOk, kWrongName, kNotValidThen, kUntrusted };
  struct Verdict {
    Trust trust = Trust::kUntrusted;  // kOk: a certificate that may sign did so, or `verified` is false
    bool verified = false;
  };

  // Nothing if there is no certificate in the PEM text, one that cannot be read, or more than kCertificatesMax.
  static std::optional<CertificateChain> FromPem(std::string_view pem);

  // Whether one of the certificates that may sign at `unix_s` for one of these host names made the signature. A name
  // that begins with '.' stands for all hosts below it.
  [[nodiscard]] Verdict Verify(PublicKey::Scheme scheme, const Pieces& pieces, std::string_view signature,
                               int64_t unix_s, std::span<const std::string> names) const;

  CertificateChain(CertificateChain&& other) noexcept;
  CertificateChain& operator=(CertificateChain&&) = delete;
  ~CertificateChain();

 private:
  struct Certificates;
  explicit CertificateChain(std::unique_ptr<const Certificates> certificates);
  std::unique_ptr<const Certificates> certificates_;
};

}  // namespace oncegate

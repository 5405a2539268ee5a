#include "tests/upstream/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace oncegate {
namespace {

using KeyPtr = std::shared_ptr<EVP_PKEY>;
using CertificatePtr = std::shared_ptr<X509>;
using ContextPtr = std::shared_ptr<SSL_CTX>;

KeyPtr MakeKey() {
  return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}

void AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  if (extension == nullptr || X509_add_ext(certificate, extension, -1) != 1) std::abort();
  X509_EXTENSION_free(extension);
}

CertificatePtr MakeCertificate(const std::string& name, const KeyPtr& key, X509* issuer, const KeyPtr& issuer_key,
                               const std::string& subject_alt_name) {
  CertificatePtr certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate.get(), key.get());
  X509* signer = issuer == nullptr ? certificate.get() : issuer;
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  AddExtension(certificate.get(), signer, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (!subject_alt_name.empty()) AddExtension(certificate.get(), signer, NID_subject_alt_name, subject_alt_name);
  if (X509_sign(certificate.get(), issuer_key.get(), EVP_sha256()) == 0) std::abort();
  return certificate;
}

class TlsServerStream final : public ServerStream {
 public:
  TlsServerStream(ContextPtr context, int fd) : context_(std::move(context)), ssl_(SSL_new(context_.get())) {
    SSL_set_fd(ssl_, fd);
  }
  ~TlsServerStream() override { SSL_free(ssl_); }
  bool Accept() { return SSL_accept(ssl_) == 1; }
  size_t Read(char* out, size_t size) override {
    size_t read = 0;
    return SSL_read_ex(ssl_, out, size, &read) == 1 ? read : 0;
  }
  bool Write(std::string_view bytes) override {
    size_t written = 0;
    return bytes.empty() || SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) == 1;
  }
  void Finish() override { SSL_shutdown(ssl_); }

 private:
  ContextPtr context_;
  SSL* ssl_;
};

}  // namespace

struct TestAuthority::Keys {
  KeyPtr key;
  CertificatePtr certificate;
};

TestAuthority::TestAuthority() : keys_(std::make_shared<Keys>()) {
  // The test's server writes through OpenSSL's own socket BIO, which raises SIGPIPE.
  std::signal(SIGPIPE, SIG_IGN);
  keys_->key = MakeKey();
  keys_->certificate = MakeCertificate("Test Authority", keys_->key, nullptr, keys_->key, "");
  ca_file_ = std::string(P_tmpdir) + "/oncegate-ca-XXXXXX";
  const int fd = mkstemp(ca_file_.data());
  BIO* file = BIO_new_fd(fd, BIO_CLOSE);
  if (file == nullptr || PEM_write_bio_X509(file, keys_->certificate.get()) != 1) std::abort();
  BIO_free(file);
}

TestAuthority::~TestAuthority() {
  unlink(ca_file_.c_str());
}

void TestAuthority::WriteServerFiles(const std::string& subject_alt_name, const std::string& common_name,
                                     const std::string& certificate_file, const std::string& key_file) const {
  const KeyPtr key = MakeKey();
  const CertificatePtr certificate =
      MakeCertificate(common_name, key, keys_->certificate.get(), keys_->key, subject_alt_name);
  BIO* file = BIO_new_file(certificate_file.c_str(), "w");
  if (file == nullptr || PEM_write_bio_X509(file, certificate.get()) != 1) std::abort();
  BIO_free(file);
  file = BIO_new_file(key_file.c_str(), "w");
  if (file == nullptr || PEM_write_bio_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    std::abort();
  BIO_free(file);
}

ScriptedServer::Wrap TestAuthority::ServerFor(const std::string& subject_alt_name) const {
  const KeyPtr key = MakeKey();
  const CertificatePtr certificate =
      MakeCertificate("Test Server", key, keys_->certificate.get(), keys_->key, subject_alt_name);
  const ContextPtr context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_use_certificate(context.get(), certificate.get());
  SSL_CTX_use_PrivateKey(context.get(), key.get());
  return [context](int fd) -> std::unique_ptr<ServerStream> {
    auto stream = std::make_unique<TlsServerStream>(context, fd);
    if (!stream->Accept()) return nullptr;
    return stream;
  };
}

}  // namespace oncegate

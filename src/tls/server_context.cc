#include "tls/server_context.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509err.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/hash.h"
#include "tls/library.h"

namespace oncegate::tls {
namespace {

// What all senders of the last ten years speak, less everything without forward secrecy or authenticated encryption.
constexpr const char* kTls12Ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

std::string TakeOpenSslError() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's own type
  const char* reason = error != 0 ? ERR_reason_error_string(error) : nullptr;
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

int ChooseProtocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                   unsigned offered_size, void* /*context*/) {
  unsigned char* match = nullptr;
  if (SSL_select_next_proto(&match, chosen_size, kHttp11.data(), kHttp11.size(), offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = match;
  return SSL_TLSEXT_ERR_OK;
}

// Instead of OpenSSL's own, which asks on the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) {
  return 0;
}

bool SetUp(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Buffers go while a connection idles, and one read takes a whole record where it has come.
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets keep the state with the client: no table to bound, no lock that the loops share.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, NoPassphrase);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kTls12Ciphers) == 1;
}

Status Readable(std::string_view what, const std::string& file) {
  if (access(file.c_str(), R_OK) == 0) return OkStatus();
  return InvalidArgument(std::string(what) + " '" + file +
                         "' cannot be read: " + std::generic_category().message(errno));
}

Status UseFiles(SSL_CTX* context, const std::string& certificate_file, const std::string& key_file) {
  if (Status status = Readable("the certificate", certificate_file); !status.ok()) return status;
  if (Status status = Readable("the key", key_file); !status.ok()) return status;
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1)
    return InvalidArgument("'" + certificate_file + "' holds no usable PEM certificate (" + TakeOpenSslError() + ")");
  const bool usable = SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) == 1;
  const bool mismatch = !usable && ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
  const std::string reason = TakeOpenSslError();
  // A key of another kind than the certificate's is only noticed by the check.
  if (mismatch || (usable && SSL_CTX_check_private_key(context) != 1)) {
    return InvalidArgument("the key in '" + key_file + "' does not belong to the certificate in '" + certificate_file +
                           "'");
  }
  if (usable) return OkStatus();
  return InvalidArgument("'" + key_file + "' holds no usable PEM private key without a passphrase (" + reason + ")");
}

std::string Encoded(const X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0) return {};
  std::string bytes(static_cast<size_t>(size), '\0');
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  i2d_X509(certificate, &out);
  return bytes;
}

std::string CertificateFingerprint(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  return ToHex({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace

ServerContext::~ServerContext() = default;

Result<std::shared_ptr<const ServerContext>> ServerContext::Load(const std::string& certificate_file,
                                                                 const std::string& key_file) {
  auto library = std::make_shared<ServerStream::Library>();
  library->context.reset(SSL_CTX_new(TLS_server_method()));
  library->method.reset(MakeSocketMethod());
  SSL_CTX* context = library->context.get();
  if (context == nullptr || library->method == nullptr || !SetUp(context))
    return Internal("OpenSSL cannot be set up: " + TakeOpenSslError());
  if (Status status = UseFiles(context, certificate_file, key_file); !status.ok()) return status;

  std::shared_ptr<ServerContext> loaded(new ServerContext());
  const X509* own = SSL_CTX_get0_certificate(context);
  loaded->fingerprint_ = CertificateFingerprint(own);
  loaded->expired_ = X509_cmp_current_time(X509_get0_notAfter(own)) < 0;
  loaded->chain_ = Encoded(own);
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  for (int i = 0; i < sk_X509_num(chain); ++i) loaded->chain_ += Encoded(sk_X509_value(chain, i));
  loaded->library_ = std::move(library);
  ERR_clear_error();
  return std::shared_ptr<const ServerContext>(std::move(loaded));
}

std::unique_ptr<ServerStream> ServerContext::Accept(int fd) const {
  return ServerStream::Make(library_, fd);
}

}  // namespace oncegate::tls

#include "tests/support/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace oncegate {

struct TlsClient::State {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  std::mutex mutex;
  SSL_SESSION* session = nullptr;  // guarded by mutex

  ~State() {
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
  }
};

namespace {

class TlsClientStream final : public ClientStream {
 public:
  explicit TlsClientStream(SSL* ssl) : ssl_(ssl) {}
  ~TlsClientStream() override {
    // OpenSSL never resumes the session of a connection that ended without a farewell.
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
  }
  ssize_t Send(const char* bytes, size_t size) override {
    ERR_clear_error();
    return SSL_write(ssl_, bytes, static_cast<int>(size));
  }
  ssize_t Receive(char* out, size_t size) override {
    ERR_clear_error();
    errno = 0;
    const int got = SSL_read(ssl_, out, static_cast<int>(size));
    if (got > 0) return got;
    return SSL_get_error(ssl_, got) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }
  [[nodiscard]] bool HasBuffered() const override { return SSL_has_pending(ssl_) == 1; }
  void CloseSending() override { SSL_shutdown(ssl_); }

 private:
  SSL* const ssl_;
};

int KeepSession(SSL* ssl, SSL_SESSION* session) {
  auto* state = static_cast<TlsClient::State*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const std::lock_guard lock(state->mutex);
  SSL_SESSION_free(state->session);
  state->session = session;
  return 1;
}

}  // namespace

TlsClient::TlsClient(const std::string& ca_file) : state_(std::make_shared<State>()) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's own socket BIO raises it
  SSL_CTX* context = state_->context;
  if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) std::abort();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, state_.get());
  SSL_CTX_sess_set_new_cb(context, KeepSession);
}

TlsClient::~TlsClient() = default;

RawClient::Wrap TlsClient::With(Options options) const {
  return [state = state_, options](int fd) -> std::unique_ptr<ClientStream> {
    SSL* ssl = SSL_new(state->context);
    auto stream = std::make_unique<TlsClientStream>(ssl);
    SSL_set_fd(ssl, fd);
    SSL_set1_host(ssl, options.server_name.c_str());
    if (options.version_max != 0) {
      SSL_set_security_level(ssl, 0);  // the library would not even ask for what is too old
      SSL_set_max_proto_version(ssl, options.version_max);
    }
    if (!options.alpn.empty()) {
      std::vector<unsigned char> wire{static_cast<unsigned char>(options.alpn.size())};
      wire.insert(wire.end(), options.alpn.begin(), options.alpn.end());
      SSL_set_alpn_protos(ssl, wire.data(), static_cast<unsigned>(wire.size()));
    }
    if (options.resume) {
      const std::lock_guard lock(state->mutex);
      SSL_set_session(ssl, state->session);
    }
    ERR_clear_error();
    if (SSL_connect(ssl) != 1) return nullptr;
    if (options.resumed != nullptr) *options.resumed = SSL_session_reused(ssl) == 1;
    if (options.certificate != nullptr) {
      char name[256] = {};
      X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName, name,
                                sizeof name);
      *options.certificate = name;
    }
    if (options.chosen_alpn != nullptr) {
      const unsigned char* chosen = nullptr;
      unsigned size = 0;
      SSL_get0_alpn_selected(ssl, &chosen, &size);
      options.chosen_alpn->assign(reinterpret_cast<const char*>(chosen), size);
    }
    return stream;
  };
}

TestCertificates::TestCertificates() : client_(authority_.ca_file()) {
  if (mkdtemp(directory_.data()) == nullptr) std::abort();
  Renew("first");
}

TestCertificates::~TestCertificates() {
  unlink(certificate_file().c_str());
  unlink(key_file().c_str());
  rmdir(directory_.c_str());
}

void TestCertificates::Renew(const std::string& common_name) const {
  authority_.WriteServerFiles("DNS:localhost", common_name, certificate_file(), key_file());
}

}  // namespace oncegate

#include "upstream/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace oncegate::upstream {
namespace {

// A TLS record's payload. Head and body of a small request are put together up to this size and leave in one record.
constexpr size_t kRecordBytesMax = 16 * 1024;

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct BioMethodDeleter {
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

// What OpenSSL's error queue says, in one phrase; the queue is empty afterwards.
std::string TakeOpenSslError() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's own type
  const char* reason = error != 0 ? ERR_reason_error_string(error) : nullptr;
  ERR_clear_error();
  return reason != nullptr ? reason : "the connection was closed";
}

class TlsTransport final : public Transport {
 public:
  using Transport::Transport;
  ~TlsTransport() override;

  // InvalidArgument or Internal if OpenSSL refuses the host or has no memory.
  Status Prepare(SSL_CTX* context, const BIO_METHOD* method, const std::string& host);
  Status Handshake(const std::string& host, const Waiter& waiter);

  IoResult Write(std::string_view first, std::string_view second) override;
  IoResult Read(char* out, size_t size) override;
  [[nodiscard]] bool HasBuffered() const override { return SSL_pending(ssl_.get()) > 0; }

  static int BioWrite(BIO* bio, const char* data, int size);
  static int BioRead(BIO* bio, char* data, int size);

 private:
  IoResult EndOf(int returned);

  std::unique_ptr<SSL, SslDeleter> ssl_;
  std::string record_;          // head and body put together, the same bytes as long as they are offered again
  bool usable_ = false;         // shaken hands, and no fatal error since
  bool write_pending_ = false;  // OpenSSL may hold an encrypted record that the kernel has not taken
};

// OpenSSL's own socket BIO writes with write(), which raises SIGPIPE, and does not say how much the kernel took.
int TlsTransport::BioWrite(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  auto* transport = static_cast<TlsTransport*>(BIO_get_data(bio));
  const IoResult result = transport->SendRaw({data, static_cast<size_t>(size)}, {});
  if (result.io == Io::kProgress) return static_cast<int>(result.bytes);
  if (result.io == Io::kWantWrite) BIO_set_retry_write(bio);
  return -1;
}

int TlsTransport::BioRead(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  auto* transport = static_cast<TlsTransport*>(BIO_get_data(bio));
  const IoResult result = transport->ReceiveRaw(data, static_cast<size_t>(size));
  if (result.io == Io::kProgress) return static_cast<int>(result.bytes);
  if (result.io == Io::kWantRead) BIO_set_retry_read(bio);
  return result.io == Io::kEnd ? 0 : -1;
}

long BioControl(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {  // NOLINT(google-runtime-int)
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int BioCreate(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

BIO_METHOD* MakeBioMethod() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "counted socket");
  if (method == nullptr) return nullptr;
  BIO_meth_set_write(method, TlsTransport::BioWrite);
  BIO_meth_set_read(method, TlsTransport::BioRead);
  BIO_meth_set_ctrl(method, BioControl);
  BIO_meth_set_create(method, BioCreate);
  return method;
}

TlsTransport::~TlsTransport() {
  // OpenSSL would first send on a record that it holds back: a request that was given up as not sent would leave now.
  if (!usable_ || write_pending_) return;
  // Says goodbye, so that the peer need not log a cut connection; whether it arrives does not matter.
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Status TlsTransport::Prepare(SSL_CTX* context, const BIO_METHOD* method, const std::string& host) {
  ssl_.reset(SSL_new(context));
  BIO* bio = BIO_new(method);
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    return Internal("no memory for a TLS connection");
  }
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_.get());
  bool ok = false;
  if (IsAddress(host)) {
    ok = X509_VERIFY_PARAM_set1_ip_asc(verify, host.c_str()) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ok = X509_VERIFY_PARAM_set1_host(verify, host.c_str(), host.size()) == 1 &&
         SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
  }
  if (!ok) return InvalidArgument("TLS cannot use the host " + host + ": " + TakeOpenSslError());
  SSL_set_connect_state(ssl_.get());
  return OkStatus();
}

Status TlsTransport::Handshake(const std::string& host, const Waiter& waiter) {
  const std::string failed = "TLS handshake with " + host + " failed: ";
  while (true) {
    ERR_clear_error();
    const int returned = SSL_do_handshake(ssl_.get());
    if (returned == 1) break;
    const IoResult result = EndOf(returned);
    if (result.io == Io::kEnd) return Unavailable(failed + "the connection was closed");
    if (result.io == Io::kFailed) {
      const long verdict = SSL_get_verify_result(ssl_.get());  // NOLINT(google-runtime-int)
      if (verdict == X509_V_OK) return Unavailable(failed + failure());
      return Unavailable(failed + "certificate not accepted: " + X509_verify_cert_error_string(verdict));
    }
    const WaitEnd end = waiter.Wait(fd(), result.io == Io::kWantRead ? POLLIN : POLLOUT, 0);
    if (end == WaitEnd::kTimedOut) return Unavailable(failed + "no answer in time");
    if (end == WaitEnd::kAborted) return Unavailable(failed + "shutting down");
  }
  usable_ = true;
  return OkStatus();
}

IoResult TlsTransport::Write(std::string_view first, std::string_view second) {
  std::string_view data = first.empty() ? second : first;
  if (!first.empty() && !second.empty() && first.size() < kRecordBytesMax) {
    record_.assign(first).append(second.substr(0, kRecordBytesMax - first.size()));
    data = record_;
  }
  ERR_clear_error();
  size_t written = 0;
  const int returned = SSL_write_ex(ssl_.get(), data.data(), data.size(), &written);
  write_pending_ = returned != 1;
  if (returned == 1) return {Io::kProgress, written};
  const IoResult result = EndOf(returned);
  return result.io == Io::kEnd ? IoResult{Io::kFailed} : result;
}

IoResult TlsTransport::Read(char* out, size_t size) {
  ERR_clear_error();
  size_t read = 0;
  const int returned = SSL_read_ex(ssl_.get(), out, size, &read);
  if (returned == 1) return {Io::kProgress, read};
  return EndOf(returned);
}

IoResult TlsTransport::EndOf(int returned) {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {Io::kWantRead};
    case SSL_ERROR_WANT_WRITE:
      return {Io::kWantWrite};
    case SSL_ERROR_ZERO_RETURN:
      SetFailure("the connection was closed");
      return {Io::kEnd};
    case SSL_ERROR_SYSCALL:
      // The socket's own words, where there are any, say more than OpenSSL's.
      if (failure().empty()) SetFailure(TakeOpenSslError());
      break;
    default:
      SetFailure(TakeOpenSslError());
      break;
  }
  ERR_clear_error();
  usable_ = false;
  return {Io::kFailed};
}

}  // namespace

struct TlsClient::State {
  std::unique_ptr<SSL_CTX, ContextDeleter> context;
  std::unique_ptr<BIO_METHOD, BioMethodDeleter> method;
};

TlsClient::TlsClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsClient::~TlsClient() = default;

Result<std::unique_ptr<TlsClient>> TlsClient::Make(const std::string& ca_file) {
  auto state = std::make_unique<State>();
  state->context.reset(SSL_CTX_new(TLS_client_method()));
  state->method.reset(MakeBioMethod());
  SSL_CTX* context = state->context.get();
  if (context == nullptr || state->method == nullptr) return Internal("OpenSSL cannot be set up");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(context, kHttp11.data(), kHttp11.size());
  if (ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return InvalidArgument("the CA file " + ca_file + " cannot be read as PEM certificates: " + TakeOpenSslError());
  }
  ERR_clear_error();
  return std::unique_ptr<TlsClient>(new TlsClient(std::move(state)));
}

Result<std::unique_ptr<Transport>> TlsClient::Handshake(Descriptor socket, const std::string& host,
                                                        const Waiter& waiter) const {
  auto transport = std::make_unique<TlsTransport>(std::move(socket));
  if (Status status = transport->Prepare(state_->context.get(), state_->method.get(), host); !status.ok()) {
    return status;
  }
  if (Status status = transport->Handshake(host, waiter); !status.ok()) return status;
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace oncegate::upstream

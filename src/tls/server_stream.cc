#include "tls/server_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tls/library.h"

namespace oncegate::tls {

struct ServerStream::Session {
  explicit Session(SSL* the_ssl) : ssl(the_ssl) {}
  ~Session() { SSL_free(ssl); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  SSL* const ssl;
};

// OpenSSL's own socket BIO writes with write(), which raises SIGPIPE, and does not say whether the kernel had more.
struct BioFunctions {
  static int Write(BIO* bio, const char* data, int size) {
    BIO_clear_retry_flags(bio);
    if (size <= 0) return 0;
    const auto* stream = static_cast<ServerStream*>(BIO_get_data(bio));
    ssize_t sent = 0;
    do {
      sent = send(stream->fd_, data, static_cast<size_t>(size), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
    return static_cast<int>(sent);
  }

  static int Read(BIO* bio, char* data, int size) {
    BIO_clear_retry_flags(bio);
    if (size <= 0) return 0;
    auto* stream = static_cast<ServerStream*>(BIO_get_data(bio));
    if (stream->idle_records_ > kIdleRecordsMax) return stream->Refuse("the client sends records without data");
    const size_t wanted = std::min(static_cast<size_t>(size), stream->call_bytes_left_);
    if (wanted == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    ssize_t got = 0;
    do {
      got = recv(stream->fd_, data, wanted, 0);
    } while (got < 0 && errno == EINTR);
    const bool empty = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (empty) BIO_set_retry_read(bio);
    stream->ended_ = got == 0;
    stream->drained_ = empty || (got > 0 && static_cast<size_t>(got) < wanted);
    if (got <= 0) return static_cast<int>(got);
    const std::string_view bytes(data, static_cast<size_t>(got));
    stream->call_bytes_left_ -= bytes.size();
    if (!stream->TakesStart(bytes)) return stream->Refuse("the client's first message is too long");
    return static_cast<int>(got);
  }

  static long Control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {  // NOLINT(google-runtime-int)
    // Asked before it takes an end without a farewell for one.
    if (command == BIO_CTRL_EOF) return static_cast<const ServerStream*>(BIO_get_data(bio))->ended_ ? 1 : 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static int Create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  // Not of the BIO: OpenSSL shows every record that goes by, and every message within.
  static void CountRecord(int is_written, int /*version*/, int content, const void* /*bytes*/, size_t /*size*/,
                          SSL* ssl, void* stream) {
    if (is_written == 0 && content == SSL3_RT_HEADER && SSL_is_init_finished(ssl) == 1)
      ++static_cast<ServerStream*>(stream)->idle_records_;
  }
};

BIO_METHOD* MakeSocketMethod() {
  // Without a number of its own: there are only 127 of those for the life of a process.
  BIO_METHOD* method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");
  if (method == nullptr) return nullptr;
  BIO_meth_set_write(method, BioFunctions::Write);
  BIO_meth_set_read(method, BioFunctions::Read);
  BIO_meth_set_ctrl(method, BioFunctions::Control);
  BIO_meth_set_create(method, BioFunctions::Create);
  return method;
}

std::unique_ptr<ServerStream> ServerStream::Make(std::shared_ptr<const Library> library, int fd) {
  auto session = std::make_unique<Session>(SSL_new(library->context.get()));
  BIO* bio = BIO_new(library->method.get());
  if (session->ssl == nullptr || bio == nullptr) {
    BIO_free(bio);
    ERR_clear_error();
    return nullptr;
  }
  SSL* ssl = session->ssl;
  std::unique_ptr<ServerStream> stream(new ServerStream(std::move(library), std::move(session), fd));
  BIO_set_data(bio, stream.get());
  SSL_set_bio(ssl, bio, bio);
  SSL_set_accept_state(ssl);
  SSL_set_msg_callback(ssl, BioFunctions::CountRecord);
  SSL_set_msg_callback_arg(ssl, stream.get());
  return stream;
}

ServerStream::ServerStream(std::shared_ptr<const Library> library, std::unique_ptr<Session> session, int fd)
    : library_(std::move(library)), session_(std::move(session)), fd_(fd) {}

ServerStream::~ServerStream() = default;

// What an earlier call saw of the kernel says nothing about now: more may have come while bytes were kept here.
void ServerStream::BeginCall() {
  ERR_clear_error();
  drained_ = false;
  has_more_ = false;
  wants_write_ = false;
  call_bytes_left_ = kCallBytesMax;
}

IoResult ServerStream::Handshake() {
  BeginCall();
  const int returned = SSL_do_handshake(session_->ssl);
  if (returned == 1) return {Io::kProgress};
  const IoResult result = EndOf(returned);
  return result.io == Io::kClosed ? IoResult{Io::kFailed} : result;
}

IoResult ServerStream::Read(char* out, size_t size) {
  BeginCall();
  size_t read = 0;
  const int returned = SSL_read_ex(session_->ssl, out, size, &read);
  if (returned != 1) return EndOf(returned);
  has_more_ = !drained_ || SSL_has_pending(session_->ssl) == 1;
  idle_records_ = 0;
  return {Io::kProgress, read};
}

IoResult ServerStream::Write(std::string_view bytes) {
  BeginCall();
  size_t written = 0;
  const int returned = SSL_write_ex(session_->ssl, bytes.data(), bytes.size(), &written);
  if (returned == 1) return {Io::kProgress, written};
  const IoResult result = EndOf(returned);
  return result.io == Io::kClosed ? IoResult{Io::kFailed} : result;
}

void ServerStream::CloseSending() {
  if (usable_ && established()) SSL_shutdown(session_->ssl);
  ERR_clear_error();
  shutdown(fd_, SHUT_WR);
}

bool ServerStream::established() const {
  return SSL_is_init_finished(session_->ssl) == 1;
}

// OpenSSL makes room for the whole of a handshake message as soon as four bytes have said how long it is, and would
// believe 128 KiB. These four have to be in the first record, where they can be seen.
bool ServerStream::TakesStart(std::string_view bytes) {
  constexpr unsigned char kHandshakeRecord = 22;
  if (start_size_ == start_.size()) return true;
  for (const char byte : bytes.substr(0, start_.size() - start_size_))
    start_[start_size_++] = static_cast<uint8_t>(byte);
  if (start_size_ < start_.size() || start_[0] != kHandshakeRecord) return true;
  const size_t record = start_[3] * 256U + start_[4];
  const size_t message = start_[6] * 65536U + start_[7] * 256U + start_[8];
  return record >= 4 && message <= kHelloBytesMax;
}

// What the socket's BIO returns when it wants no more of this client.
int ServerStream::Refuse(const char* why) {
  failure_ = why;
  return -1;
}

IoResult ServerStream::EndOf(int returned) {
  switch (SSL_get_error(session_->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
      has_more_ = call_bytes_left_ == 0;
      return {Io::kBlocked};
    case SSL_ERROR_WANT_WRITE:
      wants_write_ = true;
      return {Io::kBlocked};
    case SSL_ERROR_ZERO_RETURN:
      failure_ = "the client closed the connection";
      return {Io::kClosed};
    default:
      break;
  }
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's own type
  is_plain_http_ = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
  const char* reason = error != 0 ? ERR_reason_error_string(error) : nullptr;
  if (failure_.empty()) failure_ = reason != nullptr ? reason : "the client closed the connection";
  ERR_clear_error();
  usable_ = false;
  return {Io::kFailed};
}

}  // namespace oncegate::tls

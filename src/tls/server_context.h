#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/status.h"
#include "tls/server_stream.h"

namespace oncegate::tls {

// A listener's certificate and key, ready for handshakes: TLS 1.2 and later, forward secrecy, ALPN http/1.1 (a client
// that offers only other protocols is refused), sessions resumed by tickets that only this object can read. Immutable;
// thread-safe.
class ServerContext {
 public:
  // Both files are PEM; `certificate_file` begins with the server's own certificate, the rest of the chain may follow.
  // InvalidArgument, with a message that names the file, if one cannot be read, holds something else, has a passphrase,
  // or if the key is another certificate's.
  static Result<std::shared_ptr<const ServerContext>> Load(const std::string& certificate_file,
                                                           const std::string& key_file);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // The server's end on a connected, non-blocking socket. Null if there is no memory for it.
  [[nodiscard]] std::unique_ptr<ServerStream> Accept(int fd) const;

  // SHA-256 of the server's own certificate, in hexadecimal digits, as `openssl x509 -fingerprint -sha256` shows it.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] bool expired() const { return expired_; }
  // Whether certificate and chain are the same, and so the key, whose public half the certificate holds.
  [[nodiscard]] bool SameAs(const ServerContext& other) const { return chain_ == other.chain_; }

 private:
  ServerContext() = default;

  std::shared_ptr<const ServerStream::Library> library_;
  std::string fingerprint_;
  std::string chain_;  // DER, one certificate after the other
  bool expired_ = false;
};

// The context that a listener's next connection gets. Null: the listener speaks plain HTTP. Connections that are open
// keep theirs. Thread-safe.
class CurrentContext {
 public:
  explicit CurrentContext(std::shared_ptr<const ServerContext> context) : context_(std::move(context)) {}

  void Set(std::shared_ptr<const ServerContext> context) {
    const std::lock_guard lock(mutex_);
    context_.swap(context);
  }
  [[nodiscard]] std::shared_ptr<const ServerContext> Get() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ServerContext> context_;  // guarded by mutex_
};

}  // namespace oncegate::tls

#pragma once

#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>

#include "ingress/listener.h"
#include "tls/server_stream.h"

namespace oncegate {

// A client's connection as bytes in and out, with TLS or without. Never blocks. One thread at a time.
class ClientSocket {
 public:
  // `tls` may be null.
  ClientSocket(OwnedFd fd, std::unique_ptr<tls::ServerStream> tls) : fd_(std::move(fd)), tls_(std::move(tls)) {}

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool encrypted() const { return tls_ != nullptr; }

  // One step. REQUIRES: encrypted().
  tls::IoResult Handshake() { return tls_->Handshake(); }
  // The next step need not wait for the kernel to say anything.
  [[nodiscard]] bool HandshakeHasMore() const { return tls_->HasMore(); }
  // Why it failed, and whether a request in plain text stands there instead.
  [[nodiscard]] const std::string& handshake_failure() const { return tls_->failure(); }
  [[nodiscard]] bool SpeaksPlainHttp() const { return tls_->is_plain_http(); }
  // From now on the socket is a plain one: whoever spoke plain text is answered in it.
  void DropTls() { tls_.reset(); }

  // `*more`: a further call may find bytes without the kernel saying so again.
  tls::IoResult Read(std::span<char> out, bool* more);
  // Whether the call that was kBlocked waits for room to send, though it may have been to read.
  [[nodiscard]] bool AwaitsRoom() const { return tls_ != nullptr && tls_->wants_write(); }
  // Some of the pieces, in order. After kBlocked the next call begins with the same bytes. `scratch` holds at least
  // tls::kRecordBytesMax; what is in it is lost.
  tls::IoResult Write(std::span<const iovec> pieces, std::span<char> scratch);
  // Reads and drops. kClosed: nothing more comes.
  tls::IoResult Discard(std::span<char> scratch);

  void CloseSending();
  // Closing will reset the connection, so that the client cannot take its end for an orderly one.
  void ResetOnClose();

 private:
  tls::IoResult WriteRecord(std::span<const iovec> pieces, std::span<char> scratch);

  const OwnedFd fd_;
  std::unique_ptr<tls::ServerStream> tls_;
};

}  // namespace oncegate

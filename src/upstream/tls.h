#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "upstream/socket.h"
#include "upstream/transport.h"

namespace oncegate::upstream {

// The client's side of TLS: which certificates are trusted. TLS 1.2 and later; certificate and host name are always
// verified. Thread-safe after construction.
class TlsClient {
 public:
  // Trusts the certificates of the PEM file, or the system's if the name is empty. InvalidArgument if they cannot be
  // read.
  static Result<std::unique_ptr<TlsClient>> Make(const std::string& ca_file);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // Shakes hands on a fresh connection to `host` (a name or an address). Unavailable says why it failed; nothing of a
  // request was sent by then.
  [[nodiscard]] Result<std::unique_ptr<Transport>> Handshake(Descriptor socket, const std::string& host,
                                                             const Waiter& waiter) const;

 private:
  struct State;
  explicit TlsClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace oncegate::upstream

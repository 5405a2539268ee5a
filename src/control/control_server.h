#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "control/access.h"
#include "control/api.h"
#include "tls/server_context.h"

namespace oncegate::control {

struct ControlOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8081;  // 0: any free one
  std::vector<ControlToken> tokens;
  // More than can be held by claims that wait and by redeliveries. Those that only need a write hold none.
  size_t workers = Sidecar::kWaitingMax + ControlApi::kRedeliveriesMax + 8;
  size_t seats = 0;                               // see ListenerOptions; 0: by the machine
  std::shared_ptr<const tls::ServerContext> tls;  // null: plain HTTP
};

// The control listener: health, statistics and records over HTTP (docs/api.md). Thread-safe.
class ControlServer {
 public:
  // Binds, then answers. What `parts` names outlives the server. Errors as of Listener::Bind.
  static Result<std::unique_ptr<ControlServer>> Start(const ControlOptions& options, const ApiParts& parts);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // "http://127.0.0.1:8081", with the real port.
  [[nodiscard]] const std::string& address() const;

  // REQUIRES: not empty unless the listener is on a loopback address.
  void SetTokens(std::vector<ControlToken> tokens);
  // New connections get this certificate. REQUIRES: not null, and the server was started with one.
  void SetTls(std::shared_ptr<const tls::ServerContext> tls);
  // /readyz answers 503 from now on; everything else goes on.
  void StartDraining();
  void Stop();

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace oncegate::control

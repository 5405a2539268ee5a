#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/serve_flags.h"
#include "control/control_server.h"
#include "gateway/gateway.h"
#include "ingress/ingress.h"
#include "store/store.h"
#include "upstream/applications.h"

namespace oncegate::cli {

// The whole program but for flags and signals: store, application, gateway and listeners, put together. Methods are
// called by one thread.
class Server {
 public:
  // Opens and starts everything, in the order of who needs whom; on return requests are answered. `clock` and `logger`
  // outlive the server. Errors, with a message that is fit for the terminal, for a store that cannot be opened and
  // addresses that cannot be bound; an application that cannot be reached is none.
  static Result<std::unique_ptr<Server>> Start(const ServeOptions& options, const Clock& clock, Logger& logger);
  // Ends everything at once, unless Drain did.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // URLs with the real ports. Without an application there is no gateway.
  [[nodiscard]] std::vector<std::string> gateway_addresses() const;
  [[nodiscard]] const std::string& control_address() const;

  [[nodiscard]] int64_t drain_timeout_ms() const { return options_.drain_timeout_ms; }

  // Brings routes, policies, tokens and certificates into force for what arrives from now on; logs what has changed and
  // needs a restart. `fresh` was read whole: files that cannot be used never get here (ReadServeOptions), but for an
  // application's certificates; then nothing changes.
  Status Reload(const ServeOptions& fresh);

  // Takes nothing new, finishes what is in flight within --drain-timeout, and closes everything.
  void Drain();

 private:
  Server(const ServeOptions& options, const Clock& clock, Logger& logger);
  Status StartGateway();
  Result<RouteTable> MakeRoutes(const ServeOptions& options);
  Status OpenApplication(const UpstreamUrl& url, const std::string& ca_file, int64_t connect_timeout_ms, Route* route);
  void Choose(const RouteTable& routes);
  Status StartIngress();
  Status StartControl();
  void Stop(int64_t drain_ms);
  // What Reload consists of, one concern each.
  void WarnOfRestarts(const ServeOptions& fresh);
  Status ReloadRoutes(const ServeOptions& fresh);
  void ReloadTokens(const ServeOptions& fresh);
  void ReloadTls(const ServeOptions& fresh);
  [[nodiscard]] bool ControlSpeaksTls() const;

  ServeOptions options_;
  const Clock& clock_;
  Logger& logger_;

  // Later ones use earlier ones.
  ByteBudget memory_;
  std::unique_ptr<Store> store_;
  Applications applications_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Ingress> ingress_;
  std::unique_ptr<control::ControlServer> control_;
};

}  // namespace oncegate::cli

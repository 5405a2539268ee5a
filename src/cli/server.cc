#include "cli/server.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "cli/version.h"
#include "upstream/absent_upstream.h"
#include "upstream/http_upstream.h"

namespace oncegate::cli {
namespace {

constexpr int64_t kFlushMs = 2000;
constexpr unsigned kLoopsMax = 8;

size_t LoopCount() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, kLoopsMax);
}

}  // namespace

Server::Server(const ServeOptions& options, const Clock& clock, Logger& logger)
    : options_(options), clock_(clock), logger_(logger), memory_(options.max_buffered) {}

Result<std::unique_ptr<Server>> Server::Start(const ServeOptions& options, const Clock& clock, Logger& logger) {
  std::unique_ptr<Server> server(new Server(options, clock, logger));
  Result<std::unique_ptr<Store>> store = OpenRocksDbStore(options.store, clock, logger);
  if (!store.ok()) return store.status();
  server->store_ = *std::move(store);
  if (Status status = server->StartGateway(); !status.ok()) return status;
  if (options.upstream) {
    if (Status status = server->StartIngress(); !status.ok()) return status;
  }
  if (Status status = server->StartControl(); !status.ok()) return status;
  return server;
}

// Without an application the gateway has no listener, and only what the sidecar needs of it is used.
Status Server::StartGateway() {
  if (Status status = MakeUpstream(); !status.ok()) return status;
  GatewayLimits limits = options_.limits;
  if (!options_.upstream) limits.workers = 1;
  gateway_ = std::make_unique<Gateway>(
      RouteTable(std::make_shared<const Route>(options_.route)), limits,
      GatewayParts{.store = *store_, .upstream = *upstream_, .memory = memory_, .clock = clock_, .logger = logger_});
  return OkStatus();
}

Status Server::MakeUpstream() {
  if (!options_.upstream) {
    upstream_ = std::make_unique<AbsentUpstream>();
    return OkStatus();
  }
  HttpUpstreamOptions application;
  application.url = *options_.upstream;
  application.ca_file = options_.upstream_ca;
  application.connect_timeout_ms = options_.connect_timeout_ms;
  application.idle_connections_max = std::max(application.idle_connections_max, options_.limits.workers);
  // Most workers stay free for what need not wait.
  application.connect_retries_max = std::max<size_t>(options_.limits.workers / 4, 1);
  Result<std::unique_ptr<Upstream>> upstream = MakeHttpUpstream(std::move(application), clock_);
  if (!upstream.ok()) return upstream.status();
  upstream_ = *std::move(upstream);
  return OkStatus();
}

Status Server::StartIngress() {
  IngressOptions listen = options_.ingress;
  listen.loops = LoopCount();
  listen.tls = options_.tls;
  Result<std::unique_ptr<Ingress>> ingress = oncegate::StartIngress(
      listen, IngressParts{.gateway = *gateway_, .memory = memory_, .clock = clock_, .logger = logger_});
  if (!ingress.ok()) return ingress.status();
  ingress_ = *std::move(ingress);
  return OkStatus();
}

Status Server::StartControl() {
  control::ControlOptions listen;
  listen.host = options_.control_listen.host;
  listen.port = options_.control_listen.port;
  listen.tokens = options_.control_tokens;
  if (ControlSpeaksTls()) listen.tls = options_.tls;
  control::ApiParts parts{.store = *store_, .clock = clock_, .logger = logger_, .gateway = gateway_.get()};
  parts.version = Version();
  if (ingress_ != nullptr) parts.connections = [this] { return ingress_->connections(); };
  if (options_.upstream) parts.probe_upstream = [this](int64_t timeout_ms) { return upstream_->Probe(timeout_ms); };
  Result<std::unique_ptr<control::ControlServer>> started = control::ControlServer::Start(listen, parts);
  if (!started.ok()) return started.status();
  control_ = *std::move(started);
  return OkStatus();
}

Server::~Server() {
  Stop(0);
}

std::vector<std::string> Server::gateway_addresses() const {
  return ingress_ == nullptr ? std::vector<std::string>() : ingress_->addresses();
}

const std::string& Server::control_address() const {
  return control_->address();
}

void Server::Reload(const ServeOptions& fresh) {
  WarnOfRestarts(fresh);
  ReloadRoute(fresh);
  ReloadTokens(fresh);
  ReloadTls(fresh);
  options_.drain_timeout_ms = fresh.drain_timeout_ms;
  logger_.Log(LogLevel::kInfo, LogEvent::kReloaded, "configuration reloaded",
              {{"dedupe", DedupeName(fresh.route.dedupe)}});
}

void Server::WarnOfRestarts(const ServeOptions& fresh) {
  for (const ServeFlag& flag : ServeFlags()) {
    if (flag.reloadable) continue;
    const auto was = options_.texts.find(flag.name);
    const auto is = fresh.texts.find(flag.name);
    const bool changed = (was == options_.texts.end()) != (is == fresh.texts.end()) ||
                         (was != options_.texts.end() && was->second != is->second);
    if (changed) {
      logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "changed flag needs a restart to take effect",
                  {{"flag", flag.name}});
    }
  }
}

void Server::ReloadRoute(const ServeOptions& fresh) {
  if (gateway_ == nullptr) return;
  Route route = fresh.route;
  route.upstream_prefix = options_.route.upstream_prefix;
  route.upstream_authority = options_.route.upstream_authority;
  gateway_->SetRoutes(RouteTable(std::make_shared<const Route>(std::move(route))));
}

void Server::ReloadTokens(const ServeOptions& fresh) {
  // The listener is still where it was, and only there may tokens go missing.
  if (!fresh.control_tokens.empty() || control::IsLoopback(options_.control_listen.host)) {
    control_->SetTokens(fresh.control_tokens);
  } else {
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "control tokens stay: the listener is not on a loopback address");
  }
}

void Server::ReloadTls(const ServeOptions& fresh) {
  if ((fresh.tls == nullptr) != (options_.tls == nullptr)) {
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "changed flag needs a restart to take effect",
                {{"flag", "tls-cert"}});
    return;
  }
  // A certificate that is still the same keeps the tickets that it gave out.
  if (fresh.tls == nullptr || fresh.tls->SameAs(*options_.tls)) return;
  options_.tls = fresh.tls;
  if (ingress_ != nullptr) ingress_->SetTls(fresh.tls);
  if (ControlSpeaksTls()) control_->SetTls(fresh.tls);
  logger_.Log(LogLevel::kInfo, LogEvent::kReloaded, "new certificate in force",
              {{"sha256", std::string_view(fresh.tls->fingerprint())}});
}

// On loopback there is nobody to listen in, and the commands that talk to the server need no certificate authority.
bool Server::ControlSpeaksTls() const {
  return options_.tls != nullptr && !control::IsLoopback(options_.control_listen.host);
}

void Server::Drain() {
  logger_.Log(LogLevel::kInfo, LogEvent::kDraining, "draining",
              {{"in_flight", static_cast<int64_t>(gateway_ == nullptr ? 0 : gateway_->in_flight())},
               {"timeout_ms", options_.drain_timeout_ms}});
  Stop(options_.drain_timeout_ms);
  logger_.Log(LogLevel::kInfo, LogEvent::kStopped, "stopped");
}

// The control listener goes last: until then it says that the server drains, and shows what is still in flight.
void Server::Stop(int64_t drain_ms) {
  if (control_ != nullptr) control_->StartDraining();
  if (ingress_ != nullptr) ingress_->StopAccepting();
  if (gateway_ != nullptr) {
    gateway_->StartDraining();
    if (!gateway_->WaitUntilIdle(drain_ms) && drain_ms > 0) {
      logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "drain timeout: what is in flight is broken off",
                  {{"in_flight", static_cast<int64_t>(gateway_->in_flight())}});
    }
    gateway_->ShutDown();
  }
  if (ingress_ != nullptr) ingress_->Stop(kFlushMs);
  if (store_ != nullptr) store_->Interrupt();  // the control listener waits for a cleanup or backup that it has begun
  if (control_ != nullptr) control_->Stop();
  control_.reset();
  ingress_.reset();
  gateway_.reset();
  upstream_.reset();
  store_.reset();
}

}  // namespace oncegate::cli

#include "cli/server.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "cli/version.h"
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
    : options_(options), clock_(clock), logger_(logger), memory_(options.max_buffered), applications_(clock) {}

Result<std::unique_ptr<Server>> Server::Start(const ServeOptions& options, const Clock& clock, Logger& logger) {
  std::unique_ptr<Server> server(new Server(options, clock, logger));
  Result<std::unique_ptr<Store>> store = OpenRocksDbStore(options.store, clock, logger);
  if (!store.ok()) return store.status();
  server->store_ = *std::move(store);
  if (Status status = server->StartGateway(); !status.ok()) return status;
  if (options.has_gateway()) {
    if (Status status = server->StartIngress(); !status.ok()) return status;
  }
  if (Status status = server->StartControl(); !status.ok()) return status;
  return server;
}

// Without an application the gateway has no listener, and only what the sidecar needs of it is used.
Status Server::StartGateway() {
  Result<RouteTable> routes = MakeRoutes(options_);
  if (!routes.ok()) return routes.status();
  Choose(*routes);
  GatewayLimits limits = options_.limits;
  if (!options_.has_gateway()) limits.workers = 1;
  gateway_ = std::make_unique<Gateway>(
      *std::move(routes), limits,
      GatewayParts{.store = *store_, .upstream = applications_, .memory = memory_, .clock = clock_, .logger = logger_});
  return OkStatus();
}

// Where a route leads, with the connections of the application if it is in use already.
Status Server::OpenApplication(const UpstreamUrl& url, const std::string& ca_file, int64_t connect_timeout_ms,
                               Route* route) {
  HttpUpstreamOptions application{.url = url, .ca_file = ca_file, .connect_timeout_ms = connect_timeout_ms};
  application.idle_connections_max = std::max(application.idle_connections_max, options_.limits.workers);
  // Most workers stay free for what need not wait.
  application.connect_retries_max = std::max<size_t>(options_.limits.workers / 4, 1);
  Result<std::shared_ptr<Upstream>> upstream = applications_.Open(application);
  if (!upstream.ok()) return upstream.status();
  route->upstream = *std::move(upstream);
  return OkStatus();
}

Result<RouteTable> Server::MakeRoutes(const ServeOptions& options) {
  if (options.routes.empty()) {
    auto only = std::make_shared<Route>(options.route);
    if (options.upstream) {
      const Status status =
          OpenApplication(*options.upstream, options.upstream_ca, options.connect_timeout_ms, only.get());
      if (!status.ok()) return status;
    }
    return RouteTable(std::move(only));
  }
  std::vector<std::shared_ptr<const Route>> routes;
  for (const RouteOptions& one : options.routes) {
    auto route = std::make_shared<Route>(one.route);
    const Status status = OpenApplication(one.upstream, one.upstream_ca, one.connect_timeout_ms, route.get());
    if (!status.ok())
      return InvalidArgument(options.routes_file + ": route '" + route->name + "': " + status.message());
    routes.push_back(std::move(route));
  }
  return RouteTable::OfSeveral(std::move(routes));
}

void Server::Choose(const RouteTable& routes) {
  std::vector<std::shared_ptr<Upstream>> upstreams;
  for (const auto& route : routes.routes()) {
    if (route->upstream != nullptr) upstreams.push_back(route->upstream);
  }
  applications_.Choose(upstreams);
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
  if (options_.has_gateway())
    parts.probe_upstream = [this](int64_t timeout_ms) { return applications_.Probe(timeout_ms); };
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

Status Server::Reload(const ServeOptions& fresh) {
  if (Status status = ReloadRoutes(fresh); !status.ok()) return status;
  WarnOfRestarts(fresh);
  ReloadTokens(fresh);
  ReloadTls(fresh);
  options_.drain_timeout_ms = fresh.drain_timeout_ms;
  logger_.Log(LogLevel::kInfo, LogEvent::kReloaded, "configuration reloaded",
              {{"dedupe", DedupeName(fresh.route.dedupe)}, {"routes", static_cast<int64_t>(fresh.routes.size())}});
  return OkStatus();
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

// First of all, because an application's certificates may turn out to be unusable only now.
Status Server::ReloadRoutes(const ServeOptions& fresh) {
  if (options_.has_gateway() && !fresh.has_gateway())
    return InvalidArgument("--upstream: is gone; without a restart the gateway needs its application");
  Result<RouteTable> routes = MakeRoutes(fresh);
  if (!routes.ok()) return routes.status();
  if (fresh.has_gateway() && !options_.has_gateway()) {
    logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "changed flag needs a restart to take effect",
                {{"flag", "upstream"}});
  }
  Choose(*routes);
  gateway_->SetRoutes(*std::move(routes));
  return OkStatus();
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
  store_.reset();
}

}  // namespace oncegate::cli

#include "upstream/http_upstream.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "upstream/exchange_loop.h"
#include "upstream/forwarding.h"
#include "upstream/pool.h"
#include "upstream/socket.h"
#include "upstream/tls.h"
#include "upstream/transport.h"

namespace oncegate {
namespace {

using upstream::ConnectionPool;
using upstream::Descriptor;
using upstream::ExchangeLoop;
using upstream::Forwarding;
using upstream::TlsClient;
using upstream::Transport;
using upstream::WaitEnd;
using upstream::Waiter;

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(HttpUpstreamOptions options, std::unique_ptr<TlsClient> tls, const Clock& clock, ExchangeLoop* loop)
      : options_(std::move(options)),
        clock_(clock),
        loop_(loop),
        tls_(std::move(tls)),
        pool_(clock, options_.idle_reuse_ms, options_.idle_connections_max) {}

  ForwardResult Forward(const OutboundRequest& request, ResponseReceiver& receiver) override;
  bool Start(const OutboundRequest& request, ResponseReceiver& receiver,
             std::unique_ptr<ForwardObserver>& observer) override;
  Status Probe(int64_t timeout_ms) override;
  void Abort() override;

 private:
  using Connection = std::unique_ptr<Transport>;

  Result<Connection> Connect(const Waiter& waiter) const;
  Result<Connection> ConnectAgain(const Waiter& waiter, Result<Connection> failed);

  const HttpUpstreamOptions options_;
  const Clock& clock_;
  ExchangeLoop* const loop_;              // may be null
  const std::unique_ptr<TlsClient> tls_;  // null for http
  upstream::AbortSignal abort_;
  ConnectionPool pool_;
  std::atomic<size_t> retrying_{0};
};

ForwardResult HttpUpstream::Forward(const OutboundRequest& request, ResponseReceiver& receiver) {
  const Waiter waiter(clock_, abort_, request.total_timeout_ms);
  if (abort_.raised()) return {ForwardEnd::kNotSent, "shutting down"};
  if (Connection idle = pool_.Take(); idle != nullptr) {
    ForwardResult result = Forwarding(std::move(idle), request, receiver, waiter, pool_).Run();
    // The peer may close an idle connection at any moment. As long as the kernel took nothing, a new one is safe.
    if (result.end != ForwardEnd::kNotSent) return result;
  }
  Result<Connection> connection = Connect(waiter.Within(options_.connect_timeout_ms));
  if (!connection.ok() && request.connect_retry_ms > 0)
    connection = ConnectAgain(waiter.Within(request.connect_retry_ms), std::move(connection));
  if (!connection.ok()) return {ForwardEnd::kNotSent, connection.status().message()};
  return Forwarding(std::move(connection).value(), request, receiver, waiter, pool_).Run();
}

bool HttpUpstream::Start(const OutboundRequest& request, ResponseReceiver& receiver,
                         std::unique_ptr<ForwardObserver>& observer) {
  const Waiter waiter(clock_, abort_, request.total_timeout_ms);
  return loop_ != nullptr && loop_->Start({request, receiver, waiter, pool_}, observer);
}

Result<HttpUpstream::Connection> HttpUpstream::Connect(const Waiter& waiter) const {
  if (abort_.raised()) return Unavailable("shutting down");
  Result<Descriptor> socket = upstream::ConnectTcp(options_.url.host, options_.url.port, waiter);
  if (!socket.ok()) return socket.status();
  if (tls_ != nullptr) return tls_->Handshake(std::move(socket).value(), options_.url.host, waiter);
  return Connection(std::make_unique<upstream::PlainTransport>(std::move(socket).value()));
}

Result<HttpUpstream::Connection> HttpUpstream::ConnectAgain(const Waiter& waiter, Result<Connection> failed) {
  constexpr int64_t kPauseMsFirst = 20;
  constexpr int64_t kPauseMsMax = 2000;
  int64_t pause_ms = kPauseMsFirst;
  if (retrying_.fetch_add(1) < options_.connect_retries_max) {
    while (!failed.ok() && waiter.LeftMs() > 0 && waiter.Pause(pause_ms) != WaitEnd::kAborted) {
      failed = Connect(waiter.Within(options_.connect_timeout_ms));
      pause_ms = std::min(2 * pause_ms, kPauseMsMax);
    }
  }
  retrying_.fetch_sub(1);
  return failed;
}

Status HttpUpstream::Probe(int64_t timeout_ms) {
  return Connect(Waiter(clock_, abort_, timeout_ms)).status();
}

void HttpUpstream::Abort() {
  abort_.Raise();
  pool_.Close();
  if (loop_ != nullptr) loop_->EndAborted();
}

}  // namespace

Result<std::unique_ptr<Upstream>> MakeHttpUpstream(HttpUpstreamOptions options, const Clock& clock,
                                                   ExchangeLoop* loop) {
  std::unique_ptr<TlsClient> tls;
  if (options.url.tls || !options.ca_file.empty()) {
    Result<std::unique_ptr<TlsClient>> made = TlsClient::Make(options.ca_file);
    if (!made.ok()) return made.status();
    if (options.url.tls) tls = std::move(made).value();
  }
  return std::unique_ptr<Upstream>(std::make_unique<HttpUpstream>(std::move(options), std::move(tls), clock, loop));
}

}  // namespace oncegate

#include "ingress/ingress.h"

#include <sys/socket.h>

#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "gateway/messages.h"
#include "ingress/deal.h"
#include "ingress/event_loop.h"
#include "ingress/listener.h"

namespace oncegate {
namespace {

class EpollIngress final : public Ingress {
 public:
  EpollIngress(const IngressOptions& options, const IngressParts& parts)
      : options_(options), parts_(parts), tls_(options.tls) {
    if (options.rate_limit.per_second > 0) limiter_.emplace(options.rate_limit);
  }
  ~EpollIngress() override { Stop(0); }

  Status Start() {
    std::vector<Listener> listeners;
    for (const Endpoint& endpoint : options_.listen) {
      Result<Listener> listener = Listener::Open(endpoint, options_.tls == nullptr ? "http" : "https");
      if (!listener.ok()) return listener.status();
      addresses_.push_back(listener->url);
      listeners.push_back(std::move(*listener));
    }
    for (size_t i = 0; i < options_.loops; ++i) {
      loops_.push_back(std::make_unique<EventLoop>(LoopParts{options_, parts_, tls_, limiter_ ? &*limiter_ : nullptr}));
      if (Status status = loops_.back()->Init(); !status.ok()) return status;
    }
    Status status =
        loops_.front()->AddListeners(std::move(listeners), [this](Accepted accepted) { Deal(std::move(accepted)); });
    if (!status.ok()) return status;
    for (const auto& loop : loops_) threads_.emplace_back([&loop] { loop->Run(); });
    return OkStatus();
  }

  [[nodiscard]] std::vector<std::string> addresses() const override { return addresses_; }
  [[nodiscard]] size_t connections() const override {
    const std::vector<size_t> open = OpenByLoop();
    return std::accumulate(open.begin(), open.end(), size_t{0});
  }

  void SetTls(std::shared_ptr<const tls::ServerContext> tls) override { tls_.Set(std::move(tls)); }

  void StopAccepting() override {
    for (const auto& loop : loops_) loop->mailbox()->Post({0, oncegate::StopAccepting{}});
  }

  void Stop(int64_t timeout_ms) override {
    for (const auto& loop : loops_) loop->mailbox()->Post({0, StopLoop{parts_.clock.SteadyMs() + timeout_ms}});
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  [[nodiscard]] std::vector<size_t> OpenByLoop() const {
    std::vector<size_t> open;
    for (const auto& loop : loops_) open.push_back(loop->connections());
    return open;
  }

  // Gives a new connection to one of the loops. Runs on the first loop's thread, which alone adds connections.
  void Deal(Accepted accepted) {
    if (connections() >= options_.max_connections) return TurnAway(accepted);
    loops_[ChooseLoop(OpenByLoop())]->Give(std::move(accepted));
  }

  void TurnAway(const Accepted& accepted) {
    parts_.gateway.CountRefusal(http::ErrorCode::kOverloaded, {});
    parts_.logger.Log(LogLevel::kWarn, LogEvent::kWarning,
                      "a connection was turned away: --max-connections is reached");
    if (options_.tls != nullptr) return;  // an answer would cost a handshake
    const Reply reply = ProblemReply(
        {.code = http::ErrorCode::kOverloaded, .detail = "Too many connections are open.", .retry_after_s = 1});
    const std::string bytes = reply.head + "Connection: close\r\n\r\n" + reply.body;
    // A new socket's buffer is empty: it takes the answer, or the client is gone.
    [[maybe_unused]] const ssize_t sent =
        send(accepted.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(accepted.fd.get(), SHUT_WR);
  }

  const IngressOptions options_;
  const IngressParts parts_;
  tls::CurrentContext tls_;
  std::optional<RateLimiter> limiter_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Ingress>> StartIngress(const IngressOptions& options, const IngressParts& parts) {
  auto ingress = std::make_unique<EpollIngress>(options, parts);
  if (Status status = ingress->Start(); !status.ok()) return status;
  return std::unique_ptr<Ingress>(std::move(ingress));
}

}  // namespace oncegate

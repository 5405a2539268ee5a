#pragma once

#include <memory>
#include <utility>

#include "upstream/exchange.h"
#include "upstream/pool.h"
#include "upstream/socket.h"
#include "upstream/transport.h"
#include "upstream/upstream.h"

namespace oncegate::upstream {

// An exchange with its connection and its end, so that it can go from one thread to another. Request and receiver are
// the caller's, the pool and what the waiter refers to the upstream's; all of it outlives this. Not thread-safe.
class Forwarding final : public ForwardRest {
 public:
  Forwarding(std::unique_ptr<Transport> connection, const OutboundRequest& request, ResponseReceiver& receiver,
             const Waiter& waiter, ConnectionPool& pool)
      : connection_(std::move(connection)),
        request_(request),
        receiver_(receiver),
        waiter_(waiter),
        pool_(pool),
        exchange_(*connection_, request_, receiver_, waiter_) {}

  ForwardResult Run() override {
    exchange_.Run();
    return Finish();
  }

  // How it ended; the connection goes back to the pool if it can be used again. REQUIRES: the exchange is over.
  ForwardResult Finish() {
    if (exchange_.reusable()) pool_.Put(std::move(connection_));
    return exchange_.TakeResult();
  }

  [[nodiscard]] Exchange& exchange() { return exchange_; }
  [[nodiscard]] const OutboundRequest& request() const { return request_; }
  [[nodiscard]] const ResponseReceiver& receiver() const { return receiver_; }
  [[nodiscard]] const Waiter& waiter() const { return waiter_; }
  [[nodiscard]] int fd() const { return connection_->fd(); }

 private:
  std::unique_ptr<Transport> connection_;
  const OutboundRequest& request_;
  ResponseReceiver& receiver_;
  const Waiter waiter_;
  ConnectionPool& pool_;
  Exchange exchange_;
};

}  // namespace oncegate::upstream

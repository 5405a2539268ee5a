#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "upstream/transport.h"

namespace oncegate::upstream {

// Connections that wait for their next request. The one used last is used first, so that the others grow old and go.
// Thread-safe.
class ConnectionPool {
 public:
  ConnectionPool(const Clock& clock, int64_t idle_reuse_ms, size_t connections_max)
      : clock_(clock), idle_reuse_ms_(idle_reuse_ms), connections_max_(connections_max) {}

  // A connection that was idle for less than the limit, and whose peer has neither sent anything nor closed; or null.
  std::unique_ptr<Transport> Take();

  // Keeps the connection for a later Take, or closes it if the pool is full or was closed.
  void Put(std::unique_ptr<Transport> connection);

  // Closes all connections, and all that come later.
  void Close();

 private:
  struct Idle {
    std::unique_ptr<Transport> connection;
    int64_t since_ms = 0;
  };
  using IdleList = std::vector<Idle>;

  // Takes those that are too old out of the list. REQUIRES: mutex_ held.
  IdleList RemoveOld();

  const Clock& clock_;
  const int64_t idle_reuse_ms_;
  const size_t connections_max_;

  std::mutex mutex_;
  IdleList idle_;  // guarded by mutex_; the longest idle first
  bool closed_ = false;
};

}  // namespace oncegate::upstream

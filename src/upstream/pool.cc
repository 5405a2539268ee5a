#include "upstream/pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace oncegate::upstream {

// Connections are closed outside of the mutex: closing one is a system call, with TLS several.

std::unique_ptr<Transport> ConnectionPool::Take() {
  while (true) {
    IdleList old;
    std::unique_ptr<Transport> connection;
    {
      const std::lock_guard lock(mutex_);
      old = RemoveOld();
      if (idle_.empty()) return nullptr;
      connection = std::move(idle_.back().connection);
      idle_.pop_back();
    }
    if (connection->Quiet()) return connection;
  }
}

void ConnectionPool::Put(std::unique_ptr<Transport> connection) {
  IdleList old;
  const std::lock_guard lock(mutex_);
  old = RemoveOld();
  if (!closed_ && idle_.size() < connections_max_) idle_.push_back({std::move(connection), clock_.SteadyMs()});
}

void ConnectionPool::Close() {
  IdleList all;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  all.swap(idle_);
}

ConnectionPool::IdleList ConnectionPool::RemoveOld() {
  const int64_t oldest_ms = clock_.SteadyMs() - idle_reuse_ms_;
  const auto end =
      std::find_if(idle_.begin(), idle_.end(), [oldest_ms](const Idle& idle) { return idle.since_ms > oldest_ms; });
  IdleList old(std::make_move_iterator(idle_.begin()), std::make_move_iterator(end));
  idle_.erase(idle_.begin(), end);
  return old;
}

}  // namespace oncegate::upstream

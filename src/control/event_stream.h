#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "control/stream.h"
#include "gateway/event_feed.h"

namespace oncegate::control {

// Finished requests as server-sent events (docs/api.md): `request`, `dropped` when there were too many, and a comment
// now and then so that both sides notice a connection that is dead. Not thread-safe.
class EventStream final : public Stream {
 public:
  static constexpr std::string_view kContentType = "text/event-stream";
  static constexpr int64_t kRetryMs = 2000;  // after which clients connect again
  static constexpr int64_t kHeartbeatMs = 15'000;
  static constexpr int64_t kDroppedEveryMs = 1000;

  EventStream(std::unique_ptr<EventFeed::Subscription> subscription, const Clock& clock);

  std::string Take() override;

 private:
  const std::unique_ptr<EventFeed::Subscription> subscription_;
  const Clock& clock_;
  bool begun_ = false;
  int64_t heartbeat_at_ms_;
  int64_t dropped_told_at_ms_;
  uint64_t dropped_told_ = 0;
};

}  // namespace oncegate::control

#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "upstream/exchange_loop.h"
#include "upstream/http_upstream.h"
#include "upstream/upstream.h"

namespace oncegate {

// The applications behind oncegate: one Upstream each, which all routes to it share, and which goes when nobody uses it
// any more. As an Upstream of its own it is no application: nothing is sent, Probe asks those that were Chosen, and
// Abort is for all. Thread-safe.
class Applications final : public Upstream {
 public:
  explicit Applications(const Clock& clock) : clock_(clock) {}

  // The application that these options lead to (whatever the prefix): the one that is in use, with its connections, or
  // a new one. Errors as of MakeHttpUpstream.
  Result<std::shared_ptr<Upstream>> Open(const HttpUpstreamOptions& options);

  // Those that new requests go to. Others are in use until what was sent to them has its answer.
  void Choose(const std::vector<std::shared_ptr<Upstream>>& upstreams);

  ForwardResult Forward(const OutboundRequest&, ResponseReceiver&) override {
    return {ForwardEnd::kNotSent, "there is no application: --upstream was not given"};
  }
  // Unavailable names each one that cannot be reached. They are asked in turn; each has its share of the time, and
  // kProbeMsMin at least.
  Status Probe(int64_t timeout_ms) override;
  void Abort() override;

 private:
  static constexpr int64_t kProbeMsMin = 10;

  struct Entry {
    HttpUpstreamOptions options;
    std::filesystem::file_time_type ca_written;
    std::weak_ptr<Upstream> upstream;
    bool chosen = false;
  };
  using Named = std::pair<std::string, std::shared_ptr<Upstream>>;

  [[nodiscard]] std::vector<Named> InUse(bool chosen_only);

  const Clock& clock_;
  std::mutex mutex_;
  std::unique_ptr<upstream::ExchangeLoop> loop_;  // guarded by mutex_; of all of them, made with the first
  std::vector<Entry> entries_;                    // guarded by mutex_
  bool aborted_ = false;                          // guarded by mutex_
};

}  // namespace oncegate

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/event_feed.h"
#include "gateway/histogram.h"
#include "gateway/outcome.h"
#include "webhook/verifier.h"

namespace oncegate {

// A request or claim that has its answer. What the views show lives as long as the call that takes this.
struct FinishedRequest {
  Outcome outcome;
  std::string_view route_scope;  // the scope that its route or its claim names; empty: refused before that was known
  std::string_view scope;        // the record's, which may be narrower than the route's; empty as above
  std::string_view key;          // empty: none
  std::string_view type;         // empty: not known
  std::string_view source_ip;    // empty: not known
  int status = 0;                // of the answer
  uint32_t attempt = 0;          // of the record; 0: there is none
  std::optional<int64_t> duration_us;
  bool by_claim = false;  // the scope was chosen by whoever claims
};

// The one place where finished requests are counted, each once. Every thread writes to a row of its own, so that
// counting costs the replay lane next to nothing; reading adds the rows up. Thread-safe.
class RequestMeter {
 public:
  // Scopes become label values, and whoever counts by label must not be made to count without end: beyond these many
  // the rest is counted together. Claims choose their scope freely and have fewer.
  static constexpr size_t kScopesMax = 512;
  static constexpr size_t kClaimScopesMax = 64;
  static constexpr size_t kProvidersMax = 128;
  // No scope and no provider begins with '~'.
  static constexpr std::string_view kOtherName = "~other";  // what is beyond the bounds
  static constexpr std::string_view kNoScope = "~none";     // refused before the route was known

  explicit RequestMeter(const Clock& clock);
  ~RequestMeter();
  RequestMeter(const RequestMeter&) = delete;
  RequestMeter& operator=(const RequestMeter&) = delete;

  void Count(const FinishedRequest& request);

  // Lists the scope of a route from the start, rather than from its first request on.
  void AddScope(std::string_view scope);

  // Lists the reasons why a provider's requests may be refused from the start, likewise.
  void AddProvider(std::string_view provider);

  void CountSignatureFailure(std::string_view provider, SignatureReason reason);
  void CountStoreError() { store_errors_.fetch_add(1, std::memory_order_relaxed); }
  // From the first byte to the application to the last one of its answer, or until it is clear that none comes.
  void AddUpstreamDuration(int64_t duration_us) { upstream_.Add(duration_us); }
  // Of one read of the store on behalf of a request.
  void AddLookupDuration(int64_t duration_us) { lookups_.Add(duration_us); }

  // Tells of each request that is counted.
  [[nodiscard]] EventFeed& feed() { return feed_; }

  [[nodiscard]] uint64_t Total(Outcome outcome) const;
  [[nodiscard]] uint64_t SignatureFailures(SignatureReason reason) const;
  [[nodiscard]] uint64_t store_errors() const { return store_errors_.load(std::memory_order_relaxed); }
  [[nodiscard]] DurationCounts Durations(Outcome outcome) const;
  [[nodiscard]] DurationCounts UpstreamDurations() const { return upstream_.Read(); }
  [[nodiscard]] DurationCounts LookupDurations() const { return lookups_.Read(); }

  using OutcomeTotals = std::array<uint64_t, Outcome::kCount>;
  // By scope, in order of the names.
  [[nodiscard]] std::vector<std::pair<std::string, OutcomeTotals>> TotalsByScope() const;
  using SignatureFailureKey = std::pair<std::string, SignatureReason>;  // provider and reason
  [[nodiscard]] std::map<SignatureFailureKey, uint64_t> SignatureFailures() const;

 private:
  struct Scope;
  // Read without a lock, so that it has to have room: at most half of it is used.
  static constexpr size_t kSlots = 1024;
  static_assert(kScopesMax <= kSlots / 2);

  struct alignas(64) DurationsRow {
    std::array<DurationRow, Outcome::kCount> outcomes;
  };

  void AddSignatureFailures(std::string_view provider, SignatureReason reason, uint64_t count);
  Scope& ScopeOf(std::string_view name, bool by_claim);
  [[nodiscard]] Scope* Find(std::string_view name) const;
  Scope& Insert(std::string_view name, bool by_claim);

  EventFeed feed_;
  std::array<std::atomic<Scope*>, kSlots> slots_{};
  std::array<DurationsRow, kThreadRows> durations_;
  DurationHistogram upstream_;
  DurationHistogram lookups_;
  std::atomic<uint64_t> store_errors_{0};

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Scope>> scopes_;                  // guarded by mutex_; they stay
  size_t claim_scopes_ = 0;                                     // guarded by mutex_
  std::map<SignatureFailureKey, uint64_t> signature_failures_;  // guarded by mutex_
  const std::unique_ptr<Scope> other_;
  const std::unique_ptr<Scope> none_;
};

}  // namespace oncegate

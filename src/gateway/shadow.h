#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace oncegate {

// What would have become of a request that --dedupe shadow let pass.
enum class ShadowDecision : uint8_t {
  kExecute,     // it would have been executed: so it was
  kReplay,      // the stored answer would have been sent instead
  kWait,        // it would have waited for another one's outcome
  kInFlight,    // it would have been refused, because another one was being executed
  kMismatch,    // refused: the key was used with another request
  kUnknown,     // refused: an earlier attempt may or may not have taken effect
  kRefuse,      // refused for another reason: its path or method, or a restored store
  kMissingKey,  // it has no key
  kInvalidKey,
  kSignature,   // its signature, or the time in it, does not hold
  kStoreError,  // the store could not say, or could not remember it
  kCount,
};

// "would_replay"
std::string_view ShadowDecisionName(ShadowDecision decision);

// Counts of decisions that were not acted on, by the scope of the route (there are as many as the configuration has).
// Thread-safe.
class ShadowCounters {
 public:
  using Counts = std::array<uint64_t, static_cast<size_t>(ShadowDecision::kCount)>;

  void Add(std::string_view scope, ShadowDecision decision);
  // Scopes of which nothing was counted are not in it.
  [[nodiscard]] std::map<std::string, Counts, std::less<>> ByScope() const;
  [[nodiscard]] Counts Totals() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Counts, std::less<>> counts_;  // guarded by mutex_
};

}  // namespace oncegate

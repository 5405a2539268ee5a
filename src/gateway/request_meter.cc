#include "gateway/request_meter.h"

#include <algorithm>
#include <set>

#include "base/hash.h"

namespace oncegate {

// The counts of one scope.
struct RequestMeter::Scope {
  explicit Scope(std::string_view its_name) : name(its_name) {}

  void Add(Outcome outcome) { rows[ThreadRow()].counts[outcome.index()].fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t Total(Outcome outcome) const {
    uint64_t total = 0;
    for (const Row& row : rows) total += row.counts[outcome.index()].load(std::memory_order_relaxed);
    return total;
  }
  [[nodiscard]] OutcomeTotals Totals() const {
    OutcomeTotals totals{};
    for (size_t i = 0; i < totals.size(); ++i) totals[i] = Total(Outcome::FromIndex(i));
    return totals;
  }

  struct alignas(64) Row {
    std::array<std::atomic<uint64_t>, Outcome::kCount> counts{};
  };
  const std::string name;
  std::array<Row, kThreadRows> rows;
};

RequestMeter::RequestMeter(const Clock& clock)
    : feed_(clock), other_(std::make_unique<Scope>(kOtherName)), none_(std::make_unique<Scope>(kNoScope)) {}
RequestMeter::~RequestMeter() = default;

void RequestMeter::Count(const FinishedRequest& request) {
  ScopeOf(request.route_scope, request.by_claim).Add(request.outcome);
  if (request.duration_us) durations_[ThreadRow()].outcomes[request.outcome.index()].Add(*request.duration_us);
  feed_.Publish(request);
}

void RequestMeter::AddScope(std::string_view scope) {
  ScopeOf(scope, false);
}

RequestMeter::Scope& RequestMeter::ScopeOf(std::string_view name, bool by_claim) {
  if (name.empty()) return *none_;
  Scope* const scope = Find(name);
  return scope != nullptr ? *scope : Insert(name, by_claim);
}

// Null: not listed, or not yet seen by this thread.
RequestMeter::Scope* RequestMeter::Find(std::string_view name) const {
  for (size_t at = ShardHash(name) % kSlots;; at = (at + 1) % kSlots) {
    Scope* const scope = slots_[at].load(std::memory_order_acquire);
    if (scope == nullptr || scope->name == name) return scope;
  }
}

RequestMeter::Scope& RequestMeter::Insert(std::string_view name, bool by_claim) {
  const std::lock_guard lock(mutex_);
  if (Scope* const scope = Find(name)) return *scope;
  if (scopes_.size() >= kScopesMax || (by_claim && claim_scopes_ >= kClaimScopesMax)) return *other_;
  claim_scopes_ += by_claim ? 1 : 0;
  scopes_.push_back(std::make_unique<Scope>(name));
  size_t at = ShardHash(name) % kSlots;
  while (slots_[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) % kSlots;
  slots_[at].store(scopes_.back().get(), std::memory_order_release);
  return *scopes_.back();
}

void RequestMeter::AddProvider(std::string_view provider) {
  for (size_t i = 0; i < static_cast<size_t>(SignatureReason::kCount); ++i) {
    const auto reason = static_cast<SignatureReason>(i);
    if (reason != SignatureReason::kNone) AddSignatureFailures(provider, reason, 0);
  }
}

void RequestMeter::CountSignatureFailure(std::string_view provider, SignatureReason reason) {
  AddSignatureFailures(provider, reason, 1);
}

void RequestMeter::AddSignatureFailures(std::string_view provider, SignatureReason reason, uint64_t count) {
  const std::lock_guard lock(mutex_);
  SignatureFailureKey key(provider, reason);
  // Each provider may have all reasons.
  constexpr size_t kPairsMax = kProvidersMax * static_cast<size_t>(SignatureReason::kCount);
  if (signature_failures_.size() >= kPairsMax && !signature_failures_.contains(key)) key.first = kOtherName;
  signature_failures_[std::move(key)] += count;
}

uint64_t RequestMeter::Total(Outcome outcome) const {
  const std::lock_guard lock(mutex_);
  uint64_t total = other_->Total(outcome) + none_->Total(outcome);
  for (const auto& scope : scopes_) total += scope->Total(outcome);
  return total;
}

uint64_t RequestMeter::SignatureFailures(SignatureReason reason) const {
  const std::lock_guard lock(mutex_);
  uint64_t total = 0;
  for (const auto& [key, count] : signature_failures_) total += key.second == reason ? count : 0;
  return total;
}

DurationCounts RequestMeter::Durations(Outcome outcome) const {
  DurationCounts counts;
  for (const DurationsRow& row : durations_) row.outcomes[outcome.index()].AddTo(&counts);
  return counts;
}

std::vector<std::pair<std::string, RequestMeter::OutcomeTotals>> RequestMeter::TotalsByScope() const {
  std::vector<std::pair<std::string, OutcomeTotals>> totals;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& scope : scopes_) totals.emplace_back(scope->name, scope->Totals());
  }
  totals.emplace_back(kNoScope, none_->Totals());
  totals.emplace_back(kOtherName, other_->Totals());
  std::sort(totals.begin(), totals.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return totals;
}

std::map<RequestMeter::SignatureFailureKey, uint64_t> RequestMeter::SignatureFailures() const {
  const std::lock_guard lock(mutex_);
  return signature_failures_;
}

}  // namespace oncegate

#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "store/store.h"

namespace oncegate {

// A Store in memory, for tests of what stands on top of one. Its calls can be made to fail.
class FakeStore final : public Store {
 public:
  explicit FakeStore(const Clock& clock) : clock_(clock) {}

  std::atomic<bool> damaged{false};  // what is read is not what was written
  std::atomic<bool> busy{false};     // cannot read for a moment
  std::atomic<bool> recalls{true};   // outcomes are in memory
  std::atomic<int> recalled{0};
  std::vector<ReplayCount> added_replays;  // read when nobody adds any more
  std::atomic<bool> fail_gets{false};
  std::atomic<bool> fail_claims{false};
  std::atomic<bool> fail_endings{false};
  std::atomic<uint64_t> background_errors{0};
  std::atomic<int> claims{0};
  std::optional<RestoredState> restored;                                // set before the first claim
  std::function<void()> on_complete;                                    // called before an outcome is stored
  std::function<void(const std::vector<StoreCall>&)> on_call_together;  // called before any of it is done

  [[nodiscard]] int64_t NowMs() const override { return clock_.WallMs(); }

  Result<std::optional<Record>> Get(const ScopedKey& key, RecordParts parts) override {
    if (damaged) return Corruption("the record is damaged");
    if (busy) return Busy("the store is being opened again");
    if (fail_gets) return Unavailable("reads fail");
    const std::lock_guard lock(mutex_);
    std::optional<Record> record = Find(key);
    if (record && parts == RecordParts::kReplay) {
      record->request.reset();
      record->labels.clear();
    }
    return record;
  }

  std::shared_ptr<const KnownOutcome> Recall(const ScopedKey& key) override {
    if (!recalls || damaged || busy || fail_gets) return nullptr;
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(key.bytes());
    if (found == records_.end() || found->second.state != RecordState::kCompleted) return nullptr;
    ++recalled;
    return std::make_shared<KnownOutcome>(KnownOutcome{.record = found->second});
  }

  Result<ClaimResult> Claim(const ClaimRequest& claim, const RequestFacts& facts) override {
    if (fail_claims) return NoSpace("claims fail");
    const std::lock_guard lock(mutex_);
    const std::optional<Record> old = Find(claim.key);
    const RecordFacts old_facts = old ? FactsOf(*old, NowMs()) : RecordFacts{};
    const bool hold = restored && restored->policy == RestoredPolicy::kHold;
    const Decision decision =
        Decide(old ? &old_facts : nullptr, facts, NowMs(), hold ? AbsentKeys::kHold : AbsentKeys::kExecute);
    const auto* execute = std::get_if<Execute>(&decision);
    const bool same_claim = old && old->owner == ClaimOwner::kSidecar && !claim.claim_id.empty() &&
                            old->claim_id == claim.claim_id && std::holds_alternative<InFlight>(decision);
    if (same_claim)
      return ClaimResult(Claimed{.token = old->token,
                                 .attempt = old->attempt,
                                 .id = old->id,
                                 .lease_expires_at_ms = old->lease_expires_at_ms,
                                 .repeated = true});
    if (execute == nullptr) return ClaimResult(Refused{decision, old.value_or(Record{})});
    Record record;
    record.id = old ? old->id : NewRecordId();
    record.key = claim.key;
    record.type = claim.type;
    record.owner = claim.owner;
    record.token = NewToken();
    record.attempt = execute->attempt;
    record.created_at_ms = old ? old->created_at_ms : NowMs();
    record.ttl_ms = claim.ttl_ms;
    record.hold_unknown = claim.hold_unknown;
    record.fingerprint = facts.fingerprint;
    record.source_ip = claim.source_ip;
    record.labels = claim.labels;
    record.request = claim.request;
    if (claim.owner == ClaimOwner::kSidecar) record.lease_expires_at_ms = NowMs() + claim.lease_ms;
    record.on_lease_expiry = claim.on_lease_expiry;
    record.claim_id = claim.claim_id;
    records_[claim.key.bytes()] = record;
    ++claims;
    return ClaimResult(Claimed{.token = record.token,
                               .attempt = record.attempt,
                               .id = record.id,
                               .lease_expires_at_ms = record.lease_expires_at_ms,
                               .possible_duplicate = restored && !old});
  }

  Status Complete(const ScopedKey& key, const Token& token, StoredResponse response) override {
    if (on_complete) on_complete();
    if (IsOutcomeOf(key, token, response)) return OkStatus();
    return End(key, token, [&](Record& record) {
      record.state = RecordState::kCompleted;
      record.completed_at_ms = NowMs();
      record.expires_at_ms = NowMs() + record.ttl_ms;
      record.response = std::move(response);
    });
  }
  void CallTogether(std::vector<StoreCall>* calls) override {
    if (on_call_together) on_call_together(*calls);
    for (StoreCall& call : *calls) {
      if (auto* claim = std::get_if<ClaimCall>(&call)) {
        claim->result = Claim(claim->claim, claim->facts);
        continue;
      }
      auto& complete = std::get<CompleteCall>(call);
      complete.status = Complete(complete.key, complete.token, complete.response);
    }
  }
  Status Release(const ScopedKey& key, const Token& token) override {
    return End(key, token, [&](Record&) { records_.erase(key.bytes()); });
  }
  Status MarkUnknown(const ScopedKey& key, const Token& token) override {
    return End(key, token, [&](Record& record) {
      record.state = RecordState::kUnknown;
      if (!record.hold_unknown) record.expires_at_ms = NowMs() + record.ttl_ms;
    });
  }

  Result<int64_t> Renew(const ScopedKey& key, const Token& token, int64_t lease_ms) override {
    int64_t until_ms = 0;
    const Status status = End(key, token, [&](Record& record) {
      if (!IsAlive(record, false)) return;
      record.lease_expires_at_ms = until_ms = NowMs() + lease_ms;
    });
    if (!status.ok()) return status;
    if (until_ms == 0) return Conflict("the lease has ended");
    return until_ms;
  }
  Result<std::optional<ScopedKey>> FindToken(const Token& token) override {
    if (fail_gets) return Unavailable("reads fail");
    const std::lock_guard lock(mutex_);
    for (const auto& [bytes, record] : records_) {
      if (record.owner == ClaimOwner::kSidecar && record.token == token && record.expires_at_ms > NowMs())
        return std::optional<ScopedKey>(record.key);
    }
    return std::optional<ScopedKey>();
  }
  Result<Intervention> Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome, bool in_flight,
                               std::string_view by) override {
    if (fail_endings) return Unavailable("writes fail");
    const std::lock_guard lock(mutex_);
    const std::optional<Record> record = Find(key);
    if (!record) return Intervention::kNoRecord;
    if (IsAlive(*record, in_flight)) return Intervention::kInFlight;
    if (record->state == RecordState::kCompleted) return Intervention::kSettled;
    if (!outcome) {
      records_.erase(key.bytes());
      return Intervention::kDone;
    }
    Record& settled = records_[key.bytes()];
    settled.token = NewToken();
    settled.state = RecordState::kCompleted;
    settled.completed_at_ms = NowMs();
    settled.expires_at_ms = NowMs() + settled.ttl_ms;
    settled.response = std::move(outcome);
    AddHistory({NowMs(), std::string(by), HistoryAction::kResolved, {}}, &settled);
    return Intervention::kDone;
  }
  Result<RedeliveryResult> Redeliver(const ScopedKey& key, bool force, std::string_view by) override {
    if (fail_claims) return NoSpace("claims fail");
    const std::lock_guard lock(mutex_);
    const std::optional<Record> before = Find(key);
    if (!before) return RedeliveryResult(Intervention::kNoRecord);
    if (IsAlive(*before, false)) return RedeliveryResult(Intervention::kInFlight);
    if (before->state == RecordState::kCompleted && !force) return RedeliveryResult(Intervention::kSettled);
    if (!before->request || !before->request->body_kept) return RedeliveryResult(Intervention::kNotRedeliverable);
    Record& record = records_[key.bytes()];
    record.state = RecordState::kInProgress;
    record.owner = ClaimOwner::kGateway;
    record.token = NewToken();
    ++record.attempt;
    record.expires_at_ms = kNever;
    record.response.reset();
    AddHistory({NowMs(), std::string(by), HistoryAction::kRedelivered, {}}, &record);
    return RedeliveryResult(Redelivery{record.token, record.attempt, *before});
  }
  Status PutBack(const ScopedKey& key, const Redelivery& redelivery) override {
    return End(key, redelivery.token, [&](Record& record) {
      record = redelivery.before;
      if (record.state == RecordState::kInProgress) record.state = RecordState::kUnknown;
    });
  }

  Result<bool> Erase(const ScopedKey& key, bool force, bool in_flight) override {
    const std::lock_guard lock(mutex_);
    const std::optional<Record> record = Find(key);
    if (record && IsAlive(*record, in_flight) && !force) return Conflict("in flight");
    records_.erase(key.bytes());
    return record.has_value();
  }

  Status AddReplays(const std::vector<ReplayCount>& counts) override {
    if (fail_endings) return Unavailable("writes fail");
    const std::lock_guard lock(mutex_);
    added_replays.insert(added_replays.end(), counts.begin(), counts.end());
    for (const ReplayCount& count : counts) {
      const auto found = records_.find(count.key.bytes());
      if (found != records_.end()) found->second.replays += count.count;
    }
    return OkStatus();
  }

  Result<RecordPage> List(const ListFilter& filter, const std::string& cursor, size_t limit) override {
    if (fail_gets) return Unavailable("reads fail");
    if (!cursor.empty()) return InvalidArgument("the cursor is not one of ours");
    const std::lock_guard lock(mutex_);
    RecordPage page;
    for (const auto& [bytes, record] : records_) {
      const bool wanted = (filter.scope.empty() || record.key.scope() == filter.scope) &&
                          (filter.type.empty() || record.type == filter.type) &&
                          (!filter.state || StateNow(record) == *filter.state) &&
                          (!filter.label ||
                           std::find(record.labels.begin(), record.labels.end(), *filter.label) != record.labels.end());
      if (wanted && record.expires_at_ms > NowMs() && page.records.size() < limit) page.records.push_back(record);
    }
    return page;
  }

  Result<StoreStats> Stats() override {
    const std::lock_guard lock(mutex_);
    StoreStats stats;
    stats.now_ms = NowMs();
    stats.exact = true;
    for (const auto& [bytes, record] : records_) {
      if (record.expires_at_ms <= NowMs()) {
        ++stats.expired;
        continue;
      }
      ++stats.active;
      if (StateNow(record) == RecordState::kInProgress) ++stats.in_progress;
      if (StateNow(record) == RecordState::kCompleted) ++stats.completed;
      if (StateNow(record) == RecordState::kUnknown) ++stats.unknown;
    }
    return stats;
  }

  Result<CleanupReport> Cleanup() override {
    const std::lock_guard lock(mutex_);
    CleanupReport report;
    report.removed = std::erase_if(records_, [&](const auto& entry) { return entry.second.expires_at_ms <= NowMs(); });
    return report;
  }
  [[nodiscard]] CleanupTotals Cleanups() const override { return {.background_errors = background_errors}; }
  Result<ImportReport> Import(std::vector<Record> records) override {
    if (fail_claims) return NoSpace("claims fail");
    const std::lock_guard lock(mutex_);
    ImportReport report;
    for (Record& record : records) {
      if (record.expires_at_ms <= NowMs()) {
        ++report.expired;
      } else if (Find(record.key)) {
        ++report.existing;
      } else {
        ++report.imported;
        records_[record.key.bytes()] = std::move(record);
      }
    }
    return report;
  }
  Result<BackupReport> Backup(const std::string& directory, uint32_t keep) override {
    if (fail_claims) return InvalidArgument("the directory " + directory + " is no good");
    return BackupReport{
        .id = 3, .taken_at_ms = NowMs(), .bytes = 20, .bytes_copied = 10, .kept = keep, .duration_ms = 5};
  }
  Result<VerifyReport> Verify() override {
    VerifyReport report;
    report.records = records_.size();
    if (damaged) {
      report.differences_total = 1;
      report.differences.emplace_back("the record is damaged");
    }
    return report;
  }
  void Interrupt() override {}
  [[nodiscard]] std::optional<RestoredState> Restored() const override { return restored; }
  Status CheckWritable() override {
    if (damaged) return Corruption("the record is damaged");
    return fail_claims ? NoSpace("claims fail") : OkStatus();
  }

 private:
  std::optional<Record> Find(const ScopedKey& key) const {
    const auto found = records_.find(key.bytes());
    if (found == records_.end() || found->second.expires_at_ms <= NowMs()) return std::nullopt;
    return found->second;
  }

  RecordState StateNow(const Record& record) const {
    const bool ended = record.state == RecordState::kInProgress && record.owner == ClaimOwner::kSidecar &&
                       record.lease_expires_at_ms <= NowMs();
    return ended ? RecordState::kUnknown : record.state;
  }
  bool IsAlive(const Record& record, bool in_flight) const {
    if (record.state != RecordState::kInProgress) return false;
    return record.owner == ClaimOwner::kGateway ? in_flight : record.lease_expires_at_ms > NowMs();
  }

  bool IsOutcomeOf(const ScopedKey& key, const Token& token, const StoredResponse& response) const {
    const std::lock_guard lock(mutex_);
    const std::optional<Record> record = Find(key);
    return record && record->state == RecordState::kCompleted && record->token == token && record->response == response;
  }

  template <typename Change>
  Status End(const ScopedKey& key, const Token& token, const Change& change) {
    if (fail_endings) return Unavailable("writes fail");
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(key.bytes());
    if (found == records_.end() || found->second.token != token) return Conflict("the claim is lost");
    if (found->second.state == RecordState::kCompleted) return Conflict("the claim is settled");
    change(found->second);
    return OkStatus();
  }

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, Record> records_;  // guarded by mutex_
};

}  // namespace oncegate

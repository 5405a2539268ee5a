#include "gateway/sidecar.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "gateway/trace.h"

namespace oncegate {
namespace {

using http::ErrorCode;

// What a thread that waits and the table that wakes it have in common.
struct Signal {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<WakeReason> reason;  // guarded by mutex
};

class ThreadWaiter final : public Waiter {
 public:
  explicit ThreadWaiter(std::shared_ptr<Signal> signal) : signal_(std::move(signal)) {}
  [[nodiscard]] bool Gone() const override { return false; }
  void Wake(std::unique_ptr<Waiter>, WakeReason reason) override {
    const std::lock_guard lock(signal_->mutex);
    signal_->reason = reason;
    signal_->changed.notify_all();
  }

 private:
  const std::shared_ptr<Signal> signal_;  // shared, because the table may drop the waiter while the thread wakes
};

ErrorCode CodeOf(const Decision& decision) {
  if (std::holds_alternative<KeyReused>(decision)) return ErrorCode::kKeyReused;
  if (std::holds_alternative<InFlight>(decision)) return ErrorCode::kInFlight;
  if (std::holds_alternative<Held>(decision)) return ErrorCode::kStoreUnavailable;
  return ErrorCode::kOutcomeUnknown;
}

struct Counted {
  Outcome outcome;
  int status;  // of the answer over HTTP
};

Counted CountedAs(const Result<ClaimResult>& result) {
  const auto error = [](ErrorCode code) { return Counted{code, http::ErrorStatus(code)}; };
  if (!result.ok()) return error(ErrorCode::kStoreUnavailable);
  if (std::holds_alternative<Claimed>(*result)) return {Outcome::kExecuted, 201};
  const auto& refused = std::get<Refused>(*result);
  if (std::holds_alternative<Replay>(refused.decision)) return {Outcome::kReplayed, 200};
  return error(CodeOf(refused.decision));
}

// Whether the answer is so large that sending it can take a while.
bool IsLarge(const ClaimResult& result) {
  const auto* refused = std::get_if<Refused>(&result);
  return refused != nullptr && refused->record.response &&
         refused->record.response->body.size() > Sidecar::kTogetherBodyBytesMax;
}

}  // namespace

// One claim's time to wait, and its place among those who may.
class Sidecar::Wait {
 public:
  Wait(std::atomic<size_t>& waiting, const Clock& clock, int64_t wait_ms, const std::function<bool()>& client_gone)
      : waiting_(waiting), clock_(clock), client_gone_(client_gone), has_place_(wait_ms > 0 && TakePlace()) {
    deadline_ms_ = clock.SteadyMs() + (has_place_ ? wait_ms : 0);
  }
  ~Wait() {
    if (has_place_) waiting_.fetch_sub(1);
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  [[nodiscard]] bool over() const { return clock_.SteadyMs() >= deadline_ms_; }
  [[nodiscard]] int64_t deadline_ms() const { return deadline_ms_; }
  // Who is to be woken for this claim.
  std::unique_ptr<Waiter> NewWaiter() {
    signal_ = std::make_shared<Signal>();
    return std::make_unique<ThreadWaiter>(signal_);
  }
  // Nothing: the client is gone. Its waiter stays in the table until it is woken, and nobody notices.
  std::optional<WakeReason> Await() {
    std::unique_lock lock(signal_->mutex);
    const auto woken = [this] { return signal_->reason.has_value(); };
    while (!signal_->changed.wait_for(lock, std::chrono::milliseconds(kGoneCheckIntervalMs), woken)) {
      if (client_gone_ && client_gone_()) return std::nullopt;
    }
    if (client_gone_ && client_gone_()) return std::nullopt;
    return *signal_->reason;
  }

 private:
  bool TakePlace() {
    if (waiting_.fetch_add(1) < kWaitingMax) return true;
    waiting_.fetch_sub(1);
    return false;
  }

  std::atomic<size_t>& waiting_;
  const Clock& clock_;
  const std::function<bool()>& client_gone_;
  const bool has_place_;
  int64_t deadline_ms_ = 0;
  std::shared_ptr<Signal> signal_;
};

Result<ClaimResult> Sidecar::Claim(const ClaimRequest& claim, const RequestFacts& facts, int64_t wait_ms,
                                   const std::function<bool()>& client_gone, std::string_view trace) {
  const int64_t started_us = parts_.clock.SteadyUs();
  Result<ClaimResult> result = ClaimOrWait(claim, facts, wait_ms, client_gone);
  Note(claim, result, started_us, trace);
  return result;
}

void Sidecar::Note(const ClaimRequest& claim, const Result<ClaimResult>& result, int64_t started_us,
                   std::string_view trace) {
  Count(claim, result, parts_.clock.SteadyUs() - started_us);
  if (result.ok()) Log(claim, *result, trace);
}

// A claim that is being written.
struct Sidecar::Begun {
  InFlightTable::Permit permit;
  bool waits;
  int64_t started_us;
  std::string trace;
  ClaimDone done;
};

void Sidecar::ClaimTogether(const ClaimRequest& claim, const RequestFacts& facts, bool waits, std::string trace,
                            ClaimDone done) {
  const int64_t started_us = parts_.clock.SteadyUs();
  const auto answer = [&](const Result<ClaimResult>& result) {
    Note(claim, result, started_us, trace);
    done(result);
  };
  Result<std::optional<ClaimResult>> settled = FindSettled(claim, facts);
  if (!settled.ok()) return answer(settled.status());
  if (*settled && IsLarge(**settled)) return done(std::nullopt);
  if (*settled) return answer(**std::move(settled));
  std::unique_ptr<Waiter> nobody;
  InFlightTable::Admission admission = parts_.table.Admit(claim.key, facts, 0, nobody);
  if (const auto* decision = std::get_if<Decision>(&admission)) {
    if (waits && std::holds_alternative<InFlight>(*decision)) return done(std::nullopt);
    return answer(ClaimResult(Refused{*decision, {}}));
  }
  const auto begun = std::make_shared<Begun>(Begun{std::get<InFlightTable::Permit>(std::move(admission)), waits,
                                                   started_us, std::move(trace), std::move(done)});
  combiner_.Submit(ClaimCall{claim, facts},
                   [this, begun](StoreCall made) { EndTogether(*begun, std::get<ClaimCall>(std::move(made))); });
}

void Sidecar::EndTogether(Begun& begun, ClaimCall made) {
  // Whoever waits sees for himself what the store says now.
  begun.permit.End(Ending::kForgot);
  const auto* refused = made.result.ok() ? std::get_if<Refused>(&*made.result) : nullptr;
  const bool leased = refused != nullptr && std::holds_alternative<InFlight>(refused->decision);
  if ((begun.waits && leased) || (made.result.ok() && IsLarge(*made.result))) return begun.done(std::nullopt);
  Note(made.claim, made.result, begun.started_us, begun.trace);
  begun.done(std::move(made.result));
}

Result<ClaimResult> Sidecar::ClaimOrWait(const ClaimRequest& claim, RequestFacts facts, int64_t wait_ms,
                                         const std::function<bool()>& client_gone) {
  Wait wait(waiting_, parts_.clock, wait_ms, client_gone);
  for (;;) {
    Result<std::optional<ClaimResult>> tried = TryOnce(claim, facts, &wait);
    if (!tried.ok()) return tried.status();
    if (*tried) return **std::move(tried);
    // What it waits for is an earlier attempt: should that end unknown, this claim may not be the next one.
    facts.on_unknown = UnknownPolicy::kHold;
    const std::optional<WakeReason> reason = wait.Await();
    if (!reason) return ClaimResult(Refused{InFlight{}, {}});
    switch (*reason) {
      case WakeReason::kSettled:
      case WakeReason::kForgot:
        continue;
      case WakeReason::kUnknown:
        return ClaimResult(Refused{OutcomeUnknown{}, {}});
      case WakeReason::kTimedOut:
        if (!wait.over()) continue;  // a lease has ended, or was to end now
        return ClaimResult(Refused{InFlight{}, {}});
      case WakeReason::kShutDown:
        return Unavailable("the server is shutting down");
    }
  }
}

// A completed record stays as it is until it expires: replays need no permit.
Result<std::optional<ClaimResult>> Sidecar::FindSettled(const ClaimRequest& claim, const RequestFacts& facts) {
  Result<std::optional<Record>> record = parts_.store.Get(claim.key, RecordParts::kReplay);
  if (!record.ok()) return record.status();
  if (!record->has_value() || (*record)->state != RecordState::kCompleted) return std::optional<ClaimResult>();
  const int64_t now_ms = parts_.store.NowMs();
  const RecordFacts record_facts = FactsOf(**record, now_ms);
  const Decision decision = Decide(&record_facts, facts, now_ms);
  if (std::holds_alternative<Execute>(decision)) return std::optional<ClaimResult>();
  return std::optional<ClaimResult>(Refused{decision, **std::move(record)});
}

Result<std::optional<ClaimResult>> Sidecar::TryOnce(const ClaimRequest& claim, const RequestFacts& facts, Wait* wait) {
  Result<std::optional<ClaimResult>> settled = FindSettled(claim, facts);
  if (!settled.ok() || *settled) return settled;
  std::unique_ptr<Waiter> waiter = wait->NewWaiter();
  InFlightTable::Admission admission = parts_.table.Admit(claim.key, facts, wait->deadline_ms(), waiter);
  if (std::holds_alternative<InFlightTable::Parked>(admission)) return std::optional<ClaimResult>();
  if (const auto* decision = std::get_if<Decision>(&admission))
    return std::optional<ClaimResult>(Refused{*decision, {}});
  return ClaimWithPermit(claim, facts, std::get<InFlightTable::Permit>(std::move(admission)), wait);
}

Result<std::optional<ClaimResult>> Sidecar::ClaimWithPermit(const ClaimRequest& claim, const RequestFacts& facts,
                                                            InFlightTable::Permit permit, Wait* wait) {
  for (;;) {
    Result<ClaimResult> result = parts_.store.Claim(claim, facts);
    const auto* refused = result.ok() ? std::get_if<Refused>(&*result) : nullptr;
    const bool leased = refused != nullptr && std::holds_alternative<InFlight>(refused->decision);
    if (leased && !wait->over()) {
      const int64_t left_ms = refused->record.lease_expires_at_ms - parts_.store.NowMs();
      std::unique_ptr<Waiter> waiter = wait->NewWaiter();
      switch (permit.WaitForLease(parts_.clock.SteadyMs() + left_ms, wait->deadline_ms(), waiter)) {
        case InFlightTable::Permit::LeaseWait::kParked:
          return std::optional<ClaimResult>();
        case InFlightTable::Permit::LeaseWait::kLookAgain:
          continue;
        case InFlightTable::Permit::LeaseWait::kClosed:
          break;
      }
    }
    // Whoever waits sees for himself what the store says now.
    permit.End(Ending::kForgot);
    if (!result.ok()) return result.status();
    return std::optional<ClaimResult>(*std::move(result));
  }
}

Result<ScopedKey> Sidecar::KeyOf(const Token& token) {
  Result<std::optional<ScopedKey>> key = parts_.store.FindToken(token);
  if (!key.ok()) return key.status();
  if (!key->has_value()) return Conflict("no key is held by this token");
  return **std::move(key);
}

Status Sidecar::Complete(const Token& token, StoredResponse response) {
  const Result<ScopedKey> key = KeyOf(token);
  if (!key.ok()) return key.status();
  if (Status status = parts_.store.Complete(*key, token, std::move(response)); !status.ok()) return status;
  parts_.table.Notify(*key, Ending::kSettled);
  return OkStatus();
}

void Sidecar::CompleteTogether(const Token& token, StoredResponse response, std::function<void(Status)> done) {
  const Result<ScopedKey> key = KeyOf(token);
  if (!key.ok()) return done(key.status());
  combiner_.Submit(CompleteCall{*key, token, std::move(response)}, [this, done = std::move(done)](StoreCall made) {
    const auto& complete = std::get<CompleteCall>(made);
    if (complete.status.ok()) parts_.table.Notify(complete.key, Ending::kSettled);
    done(complete.status);
  });
}

Status Sidecar::Release(const Token& token, std::string_view trace) {
  const Result<ScopedKey> key = KeyOf(token);
  if (!key.ok()) return key.status();
  if (Status status = parts_.store.Release(*key, token); !status.ok()) return status;
  parts_.table.Notify(*key, Ending::kForgot);
  parts_.logger.Log(
      LogLevel::kInfo, LogEvent::kReleased, "the key is released: a retry will be executed",
      {{"scope", key->scope()}, {"key", key->key()}, {"reason", "the sidecar's client says so"}, TraceField(trace)});
  return OkStatus();
}

Result<int64_t> Sidecar::Renew(const Token& token, int64_t lease_ms) {
  const Result<ScopedKey> key = KeyOf(token);
  if (!key.ok()) return key.status();
  return parts_.store.Renew(*key, token, lease_ms);
}

void Sidecar::Count(const ClaimRequest& claim, const Result<ClaimResult>& result, int64_t duration_us) {
  const auto* claimed = result.ok() ? std::get_if<Claimed>(&*result) : nullptr;
  const auto* refused = result.ok() ? std::get_if<Refused>(&*result) : nullptr;
  if (claimed != nullptr && claimed->repeated) return;  // it was counted when it was made
  const Counted counted = CountedAs(result);
  const std::string_view scope = claim.key.scope();
  parts_.meter.Count({.outcome = counted.outcome,
                      .route_scope = scope.substr(0, scope.find('~')),  // what follows belongs to one client
                      .scope = scope,
                      .key = claim.key.key(),
                      .type = claim.type,
                      .source_ip = claim.source_ip,
                      .status = counted.status,
                      .attempt = claimed != nullptr   ? claimed->attempt
                                 : refused != nullptr ? refused->record.attempt
                                                      : 0,
                      .duration_us = duration_us,
                      .by_claim = true});
}

void Sidecar::Log(const ClaimRequest& claim, const ClaimResult& result, std::string_view trace) {
  const ScopedKey& key = claim.key;
  if (const auto* claimed = std::get_if<Claimed>(&result)) {
    if (claimed->repeated) return;
    parts_.logger.Log(LogLevel::kInfo, LogEvent::kKeyNew, "idempotency key is new",
                      {{"scope", key.scope()},
                       {"key", key.key()},
                       {"attempt", static_cast<int64_t>(claimed->attempt)},
                       TraceField(trace)});
  } else if (std::holds_alternative<Replay>(std::get<Refused>(result).decision)) {
    parts_.housekeeper.CountReplay(key);
    parts_.logger.Log(LogLevel::kInfo, LogEvent::kCacheHit, "idempotency cache hit",
                      {{"scope", key.scope()}, {"key", key.key()}, TraceField(trace)});
  }
}

}  // namespace oncegate

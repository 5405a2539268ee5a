#include "gateway/gateway.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/hash.h"
#include "gateway/delivery.h"
#include "gateway/identify.h"
#include "gateway/provider.h"
#include "gateway/trace.h"

namespace oncegate {
namespace {

using http::ErrorCode;

constexpr int kGuardPagesMax = 16;

std::string HashKey(const InboundRequest& request) {
  const Fingerprint digest =
      MakeFingerprint(FingerprintRecipe::kWholeRequest, {request.head.method, request.head.target, request.body});
  return "sha256:" + ToHex({reinterpret_cast<const char*>(digest.digest.data()), digest.digest.size()});
}

}  // namespace

Delivery::Delivery(Gateway& the_gateway, std::shared_ptr<const Route> the_route, InboundRequest the_request,
                   std::unique_ptr<ReplyChannel> the_channel)
    : gateway(the_gateway),
      route(std::move(the_route)),
      request(std::move(the_request)),
      channel(std::move(the_channel)),
      started_us(the_gateway.clock_.SteadyUs()),
      trace(TraceIdOf(request.head.fields)) {
  gateway.in_flight_.fetch_add(1, std::memory_order_relaxed);
}

Delivery::~Delivery() {
  if (gateway.in_flight_.fetch_sub(1) != 1 || !gateway.draining()) return;
  const std::lock_guard lock(gateway.idle_mutex_);
  gateway.idle_.notify_all();
}

void Delivery::Wake(std::unique_ptr<Waiter> self, WakeReason reason) {
  std::unique_ptr<Delivery> delivery(static_cast<Delivery*>(self.release()));
  gateway.Resume(std::move(delivery), reason);
}

RequestFacts Delivery::FactsAgainst(const Record& record) const {
  RequestFacts against = facts;
  const bool same_recipe =
      !record.fingerprint || !facts.fingerprint || record.fingerprint->recipe == facts.fingerprint->recipe;
  if (same_recipe || record.fingerprint->recipe == FingerprintRecipe::kOpaque) return against;
  against.fingerprint =
      MakeFingerprint(record.fingerprint->recipe, {request.head.method, request.head.target, request.body});
  return against;
}

Gateway::Gateway(RouteTable routes, const GatewayLimits& limits, const GatewayParts& parts)
    : limits_(limits),
      store_(parts.store),
      upstream_(parts.upstream),
      memory_(parts.memory),
      clock_(parts.clock),
      logger_(parts.logger),
      meter_(parts.clock),
      housekeeper_(parts.store, meter_, parts.logger),
      table_(parts.clock),
      sidecar_({parts.store, table_, meter_, housekeeper_, parts.clock, parts.logger}),
      pool_(limits.workers, limits.max_in_flight,
            {.is_written_first = [](const Delivery& delivery) { return delivery.plan == Delivery::Plan::kExecute; },
             .write = [this](std::vector<DeliveryPtr>* deliveries) { WriteDown(deliveries); },
             .start = [this](DeliveryPtr& delivery) { return StartForward(delivery); },
             .run = [this](DeliveryPtr delivery) { return Run(std::move(delivery)); }}) {
  SetRoutes(std::move(routes));
}

Gateway::~Gateway() = default;

void Gateway::SetRoutes(RouteTable routes) {
  static std::atomic<uint64_t> last_version{0};
  auto table = std::make_shared<const RouteTable>(std::move(routes));
  for (const auto& route : table->routes()) {
    meter_.AddScope(route->scope);
    if (route->provider != nullptr) meter_.AddProvider(route->provider->profile->name);
  }
  const std::lock_guard lock(routes_mutex_);
  routes_ = std::move(table);
  routes_version_.store(last_version.fetch_add(1) + 1, std::memory_order_release);
}

// Each thread keeps the routes that it saw last, so that replays do not meet at one lock.
const std::shared_ptr<const RouteTable>& Gateway::CurrentRoutes() {
  thread_local std::pair<uint64_t, std::shared_ptr<const RouteTable>> seen{0, nullptr};
  if (seen.first != routes_version_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(routes_mutex_);
    seen = {routes_version_.load(std::memory_order_relaxed), routes_};
  }
  return seen.second;
}

bool Gateway::IsOneOf(std::string_view method, const std::vector<std::string>& methods) {
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

void Gateway::Handle(InboundRequest request, std::unique_ptr<ReplyChannel> channel, std::optional<Sighting> seen) {
  const RouteTable& routes = *CurrentRoutes();
  const bool plain = seen || !routes.by_path() || IsPlainPath(request.head.target);
  const RouteTable::RoutePtr& found = plain ? routes.Find(request.head.target) : routes.nowhere();
  const bool nowhere = !seen && found == routes.nowhere();
  auto delivery = std::make_unique<Delivery>(*this, seen ? seen->route : found, std::move(request), std::move(channel));
  if (draining()) return Refuse(*delivery, ErrorCode::kDraining, "This server is shutting down.");
  const std::string& method = delivery->request.head.method;
  const bool own_method = IsOneOf(method, delivery->route->methods);
  const bool provider = delivery->route->provider != nullptr;
  const Dedupe dedupe = delivery->route->dedupe;
  const bool plain_path = plain && (!provider || IsPlainPath(delivery->request.head.target));
  const bool served = !provider || own_method || method == "GET" || method == "HEAD" || method == "OPTIONS";
  // Where no route is known nobody knows whether it is in shadow, nor where to forward to.
  if (dedupe == Dedupe::kShadow && !nowhere && (!plain_path || !served))
    return PassInShadow(std::move(delivery), ShadowDecision::kRefuse, plain_path ? "its method" : "its path");
  if (!plain_path) return Refuse(*delivery, ErrorCode::kBadRequest, "The path can be read in more than one way.");
  if (nowhere) return Refuse(*delivery, ErrorCode::kNotFound, "There is no route for this path.");
  if (!served) return Refuse(*delivery, ErrorCode::kNotFound, "There is nothing here for this method.");
  // Signatures are checked even while nothing is de-duplicated: the application counts on it.
  if (!own_method || (dedupe == Dedupe::kOff && !provider)) return Enqueue(std::move(delivery));
  // Reading a large body takes a while: the loop's other connections should not wait for it.
  if (delivery->request.body.size() > kBodyBytesOnLoopMax) {
    delivery->plan = Delivery::Plan::kIdentify;
    return Enqueue(std::move(delivery));
  }
  FindIdentity(std::move(delivery), seen ? std::optional(std::move(seen->identity)) : std::nullopt);
}

// Signature and time, and what the provider's profile says of the delivery. False: it was answered or handed over.
bool Gateway::CheckRequest(DeliveryPtr& delivery, std::string* key) {
  Delivery& d = *delivery;
  const ProviderRoute& provider = *d.route->provider;
  ProviderFindings findings = Inspect(provider, d.request, clock_.WallMs());
  const bool shadow = d.route->dedupe == Dedupe::kShadow;
  if (!findings.verdict.valid() && shadow) {
    PassInShadow(std::move(delivery), ShadowDecision::kSignature, SignatureReasonName(findings.verdict.reason));
    return false;
  }
  if (!findings.verdict.valid()) {
    RefuseSignature(d, findings.verdict);
    return false;
  }
  if (findings.handshake || d.route->dedupe == Dedupe::kOff) {
    d.plan = Delivery::Plan::kPass;
    Enqueue(std::move(delivery));
    return false;
  }
  if (!findings.key.ok() && shadow) {
    PassInShadow(std::move(delivery), ShadowDecision::kInvalidKey, findings.key.status().message());
    return false;
  }
  if (!findings.key.ok()) {
    Refuse(d, ErrorCode::kInvalidKey, findings.key.status().message());
    return false;
  }
  *key = *std::move(findings.key);
  if (provider.makes_types && findings.type) d.type = *std::move(findings.type);
  d.labels = std::move(findings.labels);
  d.guard = std::move(findings.guard).value_or("");
  if (!d.guard.empty()) d.labels.emplace_back(kGuardLabel, d.guard);
  return true;
}

// The sender learns the code and nothing else; operators find the reason in the log.
void Gateway::RefuseSignature(Delivery& delivery, const SignatureVerdict& verdict) {
  meter_.CountSignatureFailure(delivery.route->provider->profile->name, verdict.reason);
  logger_.Log(LogLevel::kWarn, LogEvent::kWarning, "a request's signature was refused",
              {{"provider", std::string_view(delivery.route->provider->profile->name)},
               {"reason", SignatureReasonName(verdict.reason)},
               {"client", std::string_view(delivery.request.client_ip)},
               delivery.TraceField()});
  if (verdict.expired()) return Refuse(delivery, ErrorCode::kTimestampExpired, "The signature is too old.");
  Refuse(delivery, ErrorCode::kSignatureInvalid, "The request is not signed as it has to be.");
}

void Gateway::FindIdentity(DeliveryPtr delivery, std::optional<Identity> seen) {
  Delivery& d = *delivery;
  std::string provider_key;
  if (d.route->provider != nullptr && !CheckRequest(delivery, &provider_key)) return;
  Result<Identity> identity =
      seen ? Result<Identity>(*std::move(seen)) : Identify(*d.route, d.request.head.fields, d.request.body);
  const bool shadow = d.route->dedupe == Dedupe::kShadow;
  if (!identity.ok() && shadow)
    return PassInShadow(std::move(delivery), ShadowDecision::kInvalidKey, identity.status().message());
  if (!identity.ok()) return Refuse(d, ErrorCode::kInvalidKey, identity.status().message());
  if (identity->key.empty()) identity->key = std::move(provider_key);
  if (identity->key.empty()) {
    if (shadow && d.route->on_missing_key != MissingKeyPolicy::kHash)
      return PassInShadow(std::move(delivery), ShadowDecision::kMissingKey);
    switch (d.route->on_missing_key) {
      case MissingKeyPolicy::kPass:
        // Whoever leaves out an unsigned id does not get what is known already executed once more.
        if (!d.guard.empty()) break;
        d.plan = Delivery::Plan::kUnkeyed;
        return Enqueue(std::move(delivery));
      case MissingKeyPolicy::kReject:
        return Refuse(d, ErrorCode::kMissingKey, "The request has no idempotency key.");
      case MissingKeyPolicy::kHash:
        identity->key = HashKey(d.request);
        break;
    }
  }
  d.plan = Delivery::Plan::kExecute;
  d.key = ScopedKey(identity->scope, identity->key);
  if (d.type.empty()) d.type = std::move(identity->type);
  d.labels.insert(d.labels.end(), identity->labels.begin(), identity->labels.end());
  d.facts = RequestFacts{
      .fingerprint = MakeFingerprint(FingerprintRecipe::kWholeRequest,
                                     {d.request.head.method, d.request.head.target, d.request.body}),
      .on_mismatch = d.route->on_mismatch,
      .on_unknown = d.route->on_unknown,
  };
  if (shadow) return DecideInShadow(std::move(delivery));
  const bool waits = d.route->on_in_flight == InFlightPolicy::kWait;
  d.wait_until_ms = d.request.arrived_ms + (waits ? d.route->in_flight_wait_ms : 0);
  LookUp(std::move(delivery));
}

// The lane of replays: one read, no lock that another request could hold for long. A completed record stays as it is
// until it expires, so that it can be answered from without a permit.
void Gateway::LookUp(DeliveryPtr delivery) {
  Delivery& d = *delivery;
  d.is_absent = false;
  Result<std::optional<Record>> record = Read(d.key);
  if (!record.ok()) return StoreFailed(std::move(delivery), record.status());
  d.plan = Delivery::Plan::kExecute;
  d.is_absent = !record->has_value();
  if (d.is_absent || (*record)->state != RecordState::kCompleted) return Elect(std::move(delivery));
  Record& found = **record;
  const int64_t now_ms = store_.NowMs();
  const RecordFacts facts = FactsOf(found, now_ms);
  const Decision decision = Decide(&facts, d.FactsAgainst(found), now_ms);
  if (std::holds_alternative<oncegate::Execute>(decision)) return Elect(std::move(delivery));  // it expired just now
  AnswerDecision(d, decision, &found);
}

// The same signed content under another id is the same delivery: whoever comes first with it is waited for, and its
// record is the one that counts. False: the delivery was parked or answered.
bool Gateway::ElectGuard(DeliveryPtr& delivery) {
  Delivery& d = *delivery;
  // No scope begins with '~': this is nobody's key.
  const ScopedKey guard("~" + std::string(d.key.scope()), d.guard);
  std::unique_ptr<Waiter> waiter = std::move(delivery);
  InFlightTable::Admission admission = table_.Admit(guard, {}, d.wait_until_ms, waiter);
  if (std::holds_alternative<InFlightTable::Parked>(admission)) return false;
  delivery.reset(static_cast<Delivery*>(waiter.release()));
  if (const auto* decision = std::get_if<Decision>(&admission)) {
    AnswerDecision(d, *decision, nullptr);
    return false;
  }
  d.guard_permit.emplace(std::get<InFlightTable::Permit>(std::move(admission)));
  if (const Status status = FindGuarded(d); !status.ok()) {
    StoreFailed(std::move(delivery), status);
    return false;
  }
  if (!d.key.key().empty()) return true;
  PassUnkeyed(std::move(delivery));
  return false;
}

// It has no key of its own, and what it holds is not known.
void Gateway::PassUnkeyed(DeliveryPtr delivery) {
  EndPermit(*delivery, Ending::kForgot);
  delivery->plan = Delivery::Plan::kUnkeyed;
  Enqueue(std::move(delivery));
}

// Takes the key of the record that holds the delivery's signed content, if there is one.
Status Gateway::FindGuarded(Delivery& delivery) {
  const ListFilter filter{.scope = std::string(delivery.key.scope()),
                          .type = {},
                          .prefix = {},
                          .state = std::nullopt,
                          .label = std::pair(std::string(kGuardLabel), delivery.guard)};
  std::string cursor;
  // A page may be empty and not be the last: expired records that are still there count as work.
  for (int page = 0; page < kGuardPagesMax; ++page) {
    Result<RecordPage> found = store_.List(filter, cursor, 1);
    if (!found.ok()) return found.status();
    if (!found->records.empty()) {
      delivery.key = found->records.front().key;
      return OkStatus();
    }
    if (found->next_cursor.empty()) return OkStatus();
    cursor = found->next_cursor;
  }
  return OkStatus();
}

// Gets the key's permit, or waits for whoever has it.
void Gateway::Elect(DeliveryPtr delivery) {
  Delivery& d = *delivery;
  if (d.waited && d.Gone()) return Refuse(d, ErrorCode::kInFlight, "The client went away while it waited.");
  if (in_flight() > limits_.max_in_flight) return Refuse(d, ErrorCode::kOverloaded, "Too many requests are in flight.");
  d.waited = true;
  if (!d.guard.empty() && !d.guard_permit && !ElectGuard(delivery)) return;
  std::unique_ptr<Waiter> waiter = std::move(delivery);
  InFlightTable::Admission admission = table_.Admit(d.key, d.facts, d.wait_until_ms, waiter);
  if (std::holds_alternative<InFlightTable::Parked>(admission)) return;
  delivery.reset(static_cast<Delivery*>(waiter.release()));
  if (const auto* decision = std::get_if<Decision>(&admission)) return AnswerDecision(d, *decision, nullptr);
  d.permit.emplace(std::get<InFlightTable::Permit>(std::move(admission)));
  // Should there be a record after all, the claim says so. Only a guard may have led to another key.
  if (d.is_absent && d.guard.empty()) return Enqueue(std::move(delivery));
  LookAgain(std::move(delivery));
}

// With the permit in hand nobody else in this process acts on the key: what the store says now is how it is.
void Gateway::LookAgain(DeliveryPtr delivery) {
  Delivery& d = *delivery;
  Result<std::optional<Record>> record = Read(d.key);
  if (!record.ok()) return StoreFailed(std::move(delivery), record.status());
  d.plan = Delivery::Plan::kExecute;
  const int64_t now_ms = store_.NowMs();
  Decision decision = oncegate::Execute{};
  if (record->has_value()) {
    const RecordFacts facts = FactsOf(**record, now_ms);
    decision = Decide(&facts, d.FactsAgainst(**record), now_ms);
  }
  if (std::holds_alternative<oncegate::Execute>(decision)) return Enqueue(std::move(delivery));
  if (std::holds_alternative<InFlight>(decision) && clock_.SteadyMs() < d.wait_until_ms)
    return AwaitLease(std::move(delivery), (*record)->lease_expires_at_ms - now_ms);
  AnswerDecision(d, decision, record->has_value() ? &**record : nullptr);
}

// A sidecar has the key, for so long if it does not renew its lease.
void Gateway::AwaitLease(DeliveryPtr delivery, int64_t left_ms) {
  Delivery& d = *delivery;
  // What it waits for is an earlier attempt: should that end unknown, only later arrivals may execute.
  d.facts.on_unknown = UnknownPolicy::kHold;
  InFlightTable::Permit permit = std::move(*d.permit);
  d.permit.reset();
  std::unique_ptr<Waiter> waiter = std::move(delivery);
  const auto wait = permit.WaitForLease(clock_.SteadyMs() + left_ms, d.wait_until_ms, waiter);
  if (wait == InFlightTable::Permit::LeaseWait::kParked) return;
  delivery.reset(static_cast<Delivery*>(waiter.release()));
  d.permit.emplace(std::move(permit));
  if (wait == InFlightTable::Permit::LeaseWait::kLookAgain) return LookAgain(std::move(delivery));
  Refuse(d, ErrorCode::kDraining, "This server is shutting down.");
}

Result<bool> Gateway::Forget(const ScopedKey& key, bool force) {
  // With the key's permit in hand no delivery can claim it between the look and the erasing.
  std::unique_ptr<Waiter> nobody;
  InFlightTable::Admission admission = table_.Admit(key, {}, 0, nobody);
  auto* permit = std::get_if<InFlightTable::Permit>(&admission);
  if (permit == nullptr) return store_.Erase(key, force, true);
  Result<bool> erased = store_.Erase(key, force, false);
  permit->End(Ending::kForgot);
  table_.Notify(key, Ending::kForgot);  // a sidecar may have held it
  return erased;
}

Result<Intervention> Gateway::Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome,
                                      std::string_view by) {
  std::unique_ptr<Waiter> nobody;
  InFlightTable::Admission admission = table_.Admit(key, {}, 0, nobody);
  auto* permit = std::get_if<InFlightTable::Permit>(&admission);
  if (permit == nullptr) return Intervention::kInFlight;
  Result<Intervention> result = store_.Resolve(key, std::move(outcome), false, by);
  permit->End(Ending::kForgot);
  return result;
}

void Gateway::Enqueue(DeliveryPtr delivery) {
  if (in_flight() <= limits_.max_in_flight && pool_.Submit(delivery)) return;
  Refuse(*delivery, draining() ? ErrorCode::kDraining : ErrorCode::kOverloaded, "Too many requests are in flight.");
}

void Gateway::Resume(DeliveryPtr delivery, WakeReason reason) {
  switch (reason) {
    case WakeReason::kSettled:
      delivery->saw_settled = true;
      return LookUp(std::move(delivery));
    case WakeReason::kForgot:
      return LookUp(std::move(delivery));
    case WakeReason::kUnknown:
      return AnswerDecision(*delivery, OutcomeUnknown{}, nullptr);
    case WakeReason::kTimedOut:
      if (clock_.SteadyMs() < delivery->wait_until_ms) return LookUp(std::move(delivery));  // a lease has ended
      return AnswerDecision(*delivery, InFlight{}, nullptr);
    case WakeReason::kShutDown:
      return Refuse(*delivery, ErrorCode::kDraining, "This server is shutting down.");
  }
}

// A record that is there but damaged is known to have been executed; a store that is busy soon answers; and one that is
// restored and held may have forgotten the key.
bool Gateway::MayFailOpen(const Route& route, const Status& status) const {
  if (route.on_store_error == StoreErrorPolicy::kReject) return false;
  if (status.code() == StatusCode::kCorruption || status.code() == StatusCode::kBusy) return false;
  const std::optional<RestoredState> restored = store_.Restored();
  return !restored || restored->policy != RestoredPolicy::kHold;
}

void Gateway::StoreFailed(DeliveryPtr delivery, const Status& status) {
  Delivery& d = *delivery;
  LogStoreError(d, status);
  // What was settled a moment ago is known to have been executed.
  if (d.saw_settled || !MayFailOpen(*d.route, status))
    return Refuse(d, ErrorCode::kStoreUnavailable, "The store cannot answer now.");
  if (d.key.key().empty()) return PassUnkeyed(std::move(delivery));
  // Fail open, but still elect one executor among those that this process can see, and look once more when elected.
  d.plan = Delivery::Plan::kUnprotected;
  if (d.permit) return Enqueue(std::move(delivery));
  Elect(std::move(delivery));
}

Result<std::optional<Record>> Gateway::Read(const ScopedKey& key) {
  const int64_t started_us = clock_.SteadyUs();
  Result<std::optional<Record>> record = store_.Get(key, RecordParts::kReplay);
  meter_.AddLookupDuration(clock_.SteadyUs() - started_us);
  return record;
}

void Gateway::LogStoreError(const Delivery& delivery, const Status& status) {
  meter_.CountStoreError();
  logger_.Log(LogLevel::kError, LogEvent::kError, "error in idempotency store",
              {{"scope", delivery.key.scope()},
               {"key", delivery.key.key()},
               {"reason", status.message()},
               delivery.TraceField()});
}

void Gateway::StartDraining() {
  draining_ = true;
}

bool Gateway::WaitUntilIdle(int64_t timeout_ms) {
  std::unique_lock lock(idle_mutex_);
  return idle_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return in_flight_.load() == 0; });
}

void Gateway::ShutDown() {
  StartDraining();
  // The queue first: what was not begun must not be claimed now, only to be broken off.
  for (const DeliveryPtr& delivery : pool_.Close())
    Refuse(*delivery, ErrorCode::kDraining, "This server is shutting down.");
  upstream_.Abort();
  pool_.Join();
  table_.ShutDown();
}

}  // namespace oncegate

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/housekeeper.h"
#include "gateway/identify.h"
#include "gateway/in_flight_table.h"
#include "gateway/outcome.h"
#include "gateway/request_meter.h"
#include "gateway/route_table.h"
#include "gateway/shadow.h"
#include "gateway/sidecar.h"
#include "gateway/worker_pool.h"
#include "store/store.h"
#include "upstream/upstream.h"

namespace oncegate {

class Delivery;
class ResponseCollector;
struct KeyedFields;

struct GatewayLimits {
  size_t max_in_flight = 1024;  // requests accepted and not yet answered
  size_t workers = 64;          // requests being forwarded at once
};

// What every part of the gateway works with. All of it outlives the gateway.
struct GatewayParts {
  Store& store;
  // The application of routes without one of their own. Its Abort ends what goes to the others, too.
  Upstream& upstream;
  ByteBudget& memory;
  const Clock& clock;
  Logger& logger;
};

// The life of a request, from the whole request to the answer (docs/architecture.md has the diagram): who is it, is its
// key known, and then replay, refuse, wait, or claim, forward, store and answer.
//
// TryReplay answers what it can before a request is handed over; Handle may be called from any thread and never waits
// for the application or for a write: replays and refusals are answered before it returns, waiters are parked without a
// thread, and what must be forwarded goes to a bounded pool.
class Gateway {
 public:
  Gateway(RouteTable routes, const GatewayLimits& limits, const GatewayParts& parts);
  // REQUIRES: ShutDown was called.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // What was found out about a request that is not answered yet.
  struct Sighting {
    RouteTable::RoutePtr route;
    Identity identity;
  };

  // The outcome to answer a retry with (ReplayFields), if it is in memory and may be replayed; the answer is then
  // counted as given. Null: `Handle` has to be called, with what was seen. Reads nothing from the disk, takes nothing
  // over and may be called from any thread.
  std::shared_ptr<const KnownOutcome> TryReplay(const RequestView& request, std::optional<Sighting>* seen);

  // Takes a request over; its answer comes through `channel`, once.
  void Handle(InboundRequest request, std::unique_ptr<ReplyChannel> channel, std::optional<Sighting> seen = {});

  // Counts a request that was refused before it was whole. `client_ip` is empty where it is not known.
  void CountRefusal(http::ErrorCode code, std::string_view client_ip);

  // Requests that arrive from now on take these routes; earlier ones keep theirs.
  void SetRoutes(RouteTable routes);

  // Refuses what arrives from now on (503 draining) and lets what is in flight finish.
  void StartDraining();
  // Waits until nothing is in flight, for `timeout_ms` at most. False: something still is.
  bool WaitUntilIdle(int64_t timeout_ms);
  // Ends what is still in flight: forwarding is broken off (those records stay unknown), waiters are answered.
  void ShutDown();

  // Forgets a key by an operator's hand: the next delivery is executed. True if there was a live record; Conflict if it
  // is being executed, unless `force`. Other errors as Store::Erase.
  Result<bool> Forget(const ScopedKey& key, bool force);

  // Sends the stored request of a key again, by an operator's hand: one whose outcome is unknown, or with `force` a
  // completed one, and waits for the answer, whose body is left out. The answer without a status: the application's
  // broke off. Or why nothing was sent. `by` is the operator's name. Errors as of Store::Get.
  Result<std::variant<Intervention, Reply>> Redeliver(const ScopedKey& key, bool force, std::string_view by);

  // Settles a key whose outcome is unknown, by an operator's hand; see Store::Resolve.
  Result<Intervention> Resolve(const ScopedKey& key, std::optional<StoredResponse> outcome, std::string_view by);

  // Claims for applications that do their work themselves.
  Sidecar& sidecar() { return sidecar_; }

  // Whether this process is executing the key now.
  [[nodiscard]] bool IsExecuting(const ScopedKey& key) const { return table_.Holds(key); }

  [[nodiscard]] const RequestMeter& meter() const { return meter_; }
  [[nodiscard]] RequestMeter& meter() { return meter_; }
  // What would have become of requests while --dedupe shadow was in force.
  [[nodiscard]] const ShadowCounters& shadow() const { return shadow_; }
  [[nodiscard]] size_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_relaxed); }
  [[nodiscard]] const Housekeeper& housekeeper() const { return housekeeper_; }

 private:
  friend class Delivery;
  using DeliveryPtr = std::unique_ptr<Delivery>;

  static constexpr size_t kBodyBytesOnLoopMax = 1 << 20;  // larger ones are read by a worker

  const std::shared_ptr<const RouteTable>& CurrentRoutes();
  static bool IsOneOf(std::string_view method, const std::vector<std::string>& methods);
  std::shared_ptr<const KnownOutcome> FindReplay(const Route& route, const Identity& identity,
                                                 const RequestView& request, int64_t now_ms);
  void LogReplay(const ScopedKey& key, std::string_view trace);
  [[nodiscard]] Upstream& UpstreamOf(const Route& route) const { return route.upstream ? *route.upstream : upstream_; }

  // The phases, in order. Each one either answers or hands over to the next.
  bool CheckRequest(DeliveryPtr& delivery, std::string* key);
  void FindIdentity(DeliveryPtr delivery, std::optional<Identity> seen);
  void LookUp(DeliveryPtr delivery);
  bool ElectGuard(DeliveryPtr& delivery);
  void PassUnkeyed(DeliveryPtr delivery);
  Status FindGuarded(Delivery& delivery);
  void Elect(DeliveryPtr delivery);
  void LookAgain(DeliveryPtr delivery);
  void AwaitLease(DeliveryPtr delivery, int64_t left_ms);
  void Enqueue(DeliveryPtr delivery);
  // Claims, and outcomes of those that ran. Takes out all that were not claimed now.
  void WriteDown(std::vector<DeliveryPtr>* deliveries);
  static ClaimRequest ClaimOf(const Delivery& delivery);
  bool TakeClaim(DeliveryPtr& delivery, Result<ClaimResult> result);
  bool StartForward(DeliveryPtr& delivery);
  void TakeForwarded(DeliveryPtr delivery, ForwardResult result);
  DeliveryPtr Run(DeliveryPtr delivery);
  void Pass(Delivery& delivery);
  // True: the outcome is to be written down, and the delivery settled with it.
  bool Execute(Delivery& delivery);
  bool ClaimAgain(Delivery& delivery);
  ForwardResult ForwardPassed(Delivery& delivery, ResponseCollector& collector, Outcome outcome);
  bool Settle(Delivery& delivery, const ForwardResult& result);
  bool SettleAnswered(Delivery& delivery);
  static bool TakeOutcome(Delivery& delivery);
  void EndAnswered(Delivery& delivery, Ending ending);

  // The same life in shadow mode.
  void PassInShadow(DeliveryPtr delivery, ShadowDecision decision, std::string_view reason = {});
  void DecideInShadow(DeliveryPtr delivery);
  Result<Decision> DecideNow(const Delivery& delivery);
  Result<ShadowDecision> Foresee(Delivery& delivery);
  void ExecuteInShadow(Delivery& delivery);
  Ending RememberInShadow(Delivery& delivery, const ForwardResult& result, ResponseCollector& collector);
  void CountShadow(const Delivery& delivery, ShadowDecision decision, std::string_view reason = {});

  void Resume(DeliveryPtr delivery, WakeReason reason);
  [[nodiscard]] bool MayFailOpen(const Route& route, const Status& status) const;
  void StoreFailed(DeliveryPtr delivery, const Status& status);
  void AnswerDecision(Delivery& delivery, const Decision& decision, Record* record);
  void Refuse(Delivery& delivery, http::ErrorCode code, std::string detail);
  void RefuseSignature(Delivery& delivery, const SignatureVerdict& verdict);
  void AnswerForwardError(Delivery& delivery, const ForwardResult& result, const ResponseCollector& collector);
  void SendProblem(Delivery& delivery, http::ErrorCode code, std::string detail);
  // To be called just before the answer goes, once a delivery. `attempt`: of the record that was answered from, if any.
  void Count(const Delivery& delivery, Outcome outcome, int status, uint32_t attempt = 0);
  Result<std::optional<Record>> Read(const ScopedKey& key);
  void PrepareKeyed(Delivery& delivery);
  static OutboundRequest OutboundOf(const Delivery& delivery, const KeyedFields* keyed);
  ForwardResult ForwardKeyed(Delivery& delivery);
  // Write down how an execution ended; what they return is what those who wait have to know.
  Ending StoreOutcome(Delivery& delivery, StoredResponse response);
  Ending OutcomeStored(Delivery& delivery, const Status& status, StoredResponse response);
  Ending StoreUnknown(Delivery& delivery, std::string_view reason);
  Ending StoreRelease(Delivery& delivery, std::string_view reason);
  Ending PutBack(Delivery& delivery, std::string_view reason);
  static void EndPermit(Delivery& delivery, Ending ending);
  void LogStoreError(const Delivery& delivery, const Status& status);

  const GatewayLimits limits_;
  Store& store_;
  Upstream& upstream_;
  ByteBudget& memory_;
  const Clock& clock_;
  Logger& logger_;

  std::mutex routes_mutex_;
  std::shared_ptr<const RouteTable> routes_;  // guarded by routes_mutex_
  std::atomic<uint64_t> routes_version_{0};   // unique in the process; changes with routes_

  RequestMeter meter_;
  ShadowCounters shadow_;
  std::atomic<size_t> in_flight_{0};
  std::atomic<bool> draining_{false};
  std::mutex idle_mutex_;
  std::condition_variable idle_;

  Housekeeper housekeeper_;
  InFlightTable table_;
  Sidecar sidecar_;
  WorkerPool<Delivery> pool_;
};

}  // namespace oncegate

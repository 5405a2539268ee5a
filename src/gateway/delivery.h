#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "core/decide.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/in_flight_table.h"
#include "gateway/response_collector.h"
#include "gateway/route.h"
#include "store/store.h"
#include "upstream/upstream.h"

namespace oncegate {

// One request on its way through the gateway: what is known of it so far. Owned by whoever has it in hand: the thread
// of a phase, the pool's queue, the in-flight table while it waits, or the upstream while the application works.
class Delivery final : public Waiter, public ForwardObserver {
 public:
  enum class Plan : uint8_t {
    kIdentify,     // the body is large: its key is found on a worker
    kPass,         // a method that is not de-duplicated
    kUnkeyed,      // no key, and the policy is to forward all the same
    kExecute,      // claim, forward, remember
    kRedeliver,    // the same again, by an operator's hand
    kShadow,       // forward as a pure proxy, then remember what it would have left
    kUnprotected,  // the store cannot answer, and the policy is to forward all the same
  };

  Delivery(Gateway& gateway, std::shared_ptr<const Route> route, InboundRequest request,
           std::unique_ptr<ReplyChannel> channel);
  ~Delivery() override;
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  [[nodiscard]] bool Gone() const override { return channel->ClientGone(); }
  void Wake(std::unique_ptr<Waiter> self, WakeReason reason) override;
  void OnForwarded(std::unique_ptr<ForwardObserver> self, ForwardResult result) override;
  void OnMayWait(std::unique_ptr<ForwardObserver> self, std::unique_ptr<ForwardRest> rest) override;

  // For log lines about this request; a field without a name, which is left out, if it is part of no trace.
  [[nodiscard]] LogField TraceField() const { return {trace.empty() ? "" : "trace", trace}; }

  // The facts to decide with on this record: with a fingerprint by the record's own recipe, if that is another.
  [[nodiscard]] RequestFacts FactsAgainst(const Record& record) const;

  Gateway& gateway;
  const std::shared_ptr<const Route> route;
  const InboundRequest request;
  const std::unique_ptr<ReplyChannel> channel;
  const int64_t started_us;      // steady clock
  const std::string_view trace;  // the trace that the request is part of; empty: none

  Plan plan = Plan::kPass;
  ScopedKey key;
  std::string type;
  Labels labels;
  RequestFacts facts;
  int64_t wait_until_ms = 0;  // steady clock: the end of this request's one wait budget
  bool waited = false;
  bool is_absent = false;    // there was no record a moment ago
  bool saw_settled = false;  // whoever it waited for has stored an outcome
  // Recognises the signed content of a delivery whose id is not signed; empty: nothing does.
  std::string guard;
  std::optional<InFlightTable::Permit> guard_permit;  // taken before the key's, ends with it
  std::optional<InFlightTable::Permit> permit;
  std::optional<Claimed> claim;
  bool force = false;                    // kRedeliver: also what is completed
  std::string by;                        // kRedeliver: the operator's name
  std::optional<Redelivery> redelivery;  // kRedeliver, once claimed

  // Once it is forwarded:
  OutboundRequest outbound;
  std::optional<ResponseCollector> collector;
  int64_t forwarded_at_us = 0;             // steady clock: when that began
  std::unique_ptr<ForwardRest> rest;       // what takes a thread of it, where it began without one
  std::optional<ForwardResult> forwarded;  // how it ended
  std::optional<StoredResponse> outcome;   // to be written down
};

// Answers to requests that are not remembered are gathered up to here, so that a small one goes out in one piece.
inline constexpr int64_t kPassedKeepBytesMax = 64 * 1024;

// What an application's answer means for the key.
enum class Verdict : uint8_t { kFinal, kRelease, kUnknown };
Verdict Judge(const Route& route, const http::ResponseHead& head);

}  // namespace oncegate

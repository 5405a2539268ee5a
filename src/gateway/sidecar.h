#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "core/decide.h"
#include "gateway/housekeeper.h"
#include "gateway/in_flight_table.h"
#include "gateway/request_meter.h"
#include "store/store.h"

namespace oncegate {

// What the sidecar works with: the gateway's own. All of it outlives the sidecar.
struct SidecarParts {
  Store& store;
  InFlightTable& table;
  RequestMeter& meter;
  Housekeeper& housekeeper;
  const Clock& clock;
  Logger& logger;
};

// Claims for applications that do their work themselves: the same store, the same decision and the same table as the
// gateway's, so that a claim and a delivery of one key exclude each other. A claim lives by its lease in the store, and
// outlives this process. Thread-safe.
class Sidecar {
 public:
  // Claims that wait at once: each holds its caller's thread. Those beyond are answered as if they did not want to
  // wait.
  static constexpr size_t kWaitingMax = 8;
  // How long a client that has left may keep such a place.
  static constexpr int64_t kGoneCheckIntervalMs = 250;

  explicit Sidecar(const SidecarParts& parts) : parts_(parts) {}

  // Claims the key for its owner's lease, or says why not; for up to `wait_ms` it waits for whoever has the key, unless
  // `client_gone` says that nobody waits for the answer any more: such a claim is not made after a wait. REQUIRES:
  // claim.owner is kSidecar. `trace` is for the log (gateway/trace.h). Errors as of Store::Claim; Unavailable also when
  // the process goes down.
  Result<ClaimResult> Claim(const ClaimRequest& claim, const RequestFacts& facts, int64_t wait_ms,
                            const std::function<bool()>& client_gone = {}, std::string_view trace = {});

  // Conflict: no key is held by this token.
  Status Complete(const Token& token, StoredResponse response);
  Status Release(const Token& token, std::string_view trace = {});
  Result<int64_t> Renew(const Token& token, int64_t lease_ms);

 private:
  class Wait;

  // Nothing: somebody else was waited for; try again.
  Result<std::optional<ClaimResult>> TryOnce(const ClaimRequest& claim, const RequestFacts& facts, Wait* wait);
  // The same with the key's permit in hand.
  Result<std::optional<ClaimResult>> ClaimWithPermit(const ClaimRequest& claim, const RequestFacts& facts,
                                                     InFlightTable::Permit permit, Wait* wait);
  Result<ClaimResult> ClaimOrWait(const ClaimRequest& claim, RequestFacts facts, int64_t wait_ms,
                                  const std::function<bool()>& client_gone);
  Result<ScopedKey> KeyOf(const Token& token);
  void Count(const ClaimRequest& claim, const Result<ClaimResult>& result, int64_t duration_us);
  void Log(const ClaimRequest& claim, const ClaimResult& result, std::string_view trace);

  const SidecarParts parts_;
  std::atomic<size_t> waiting_{0};
};

}  // namespace oncegate

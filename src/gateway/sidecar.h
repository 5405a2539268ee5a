#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "core/decide.h"
#include "gateway/housekeeper.h"
#include "gateway/in_flight_table.h"
#include "gateway/request_meter.h"
#include "store/call_combiner.h"
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

  explicit Sidecar(const SidecarParts& parts) : parts_(parts), combiner_(parts.store) {}

  // Claims the key for its owner's lease, or says why not; for up to `wait_ms` it waits for whoever has the key, unless
  // `client_gone` says that nobody waits for the answer any more: such a claim is not made after a wait. REQUIRES:
  // claim.owner is kSidecar. `trace` is for the log (gateway/trace.h). Errors as of Store::Claim; Unavailable also when
  // the process goes down.
  Result<ClaimResult> Claim(const ClaimRequest& claim, const RequestFacts& facts, int64_t wait_ms,
                            const std::function<bool()>& client_gone = {}, std::string_view trace = {});

  // The same without holding a thread: what has to be written goes together with what others have, and `done` gets the
  // answer, once, on this thread or that of another call; it must not wait. Nothing instead of an answer: it may take
  // time, because somebody has the key and `waits` is true, or because it has a body of more than kTogetherBodyBytesMax
  // that somebody has to read. Then Claim answers.
  static constexpr size_t kTogetherBodyBytesMax = 16 * 1024;
  using ClaimDone = std::function<void(std::optional<Result<ClaimResult>>)>;
  void ClaimTogether(const ClaimRequest& claim, const RequestFacts& facts, bool waits, std::string trace,
                     ClaimDone done);

  // Conflict: no key is held by this token.
  Status Complete(const Token& token, StoredResponse response);
  // The same as ClaimTogether is to Claim.
  void CompleteTogether(const Token& token, StoredResponse response, std::function<void(Status)> done);
  Status Release(const Token& token, std::string_view trace = {});
  Result<int64_t> Renew(const Token& token, int64_t lease_ms);

 private:
  class Wait;
  struct Begun;

  void EndTogether(Begun& begun, ClaimCall made);
  // The answer to a claim of a key that is settled; nothing if it is not.
  Result<std::optional<ClaimResult>> FindSettled(const ClaimRequest& claim, const RequestFacts& facts);
  // Counts and logs an answer.
  void Note(const ClaimRequest& claim, const Result<ClaimResult>& result, int64_t started_us, std::string_view trace);
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
  CallCombiner combiner_;
  std::atomic<size_t> waiting_{0};
};

}  // namespace oncegate

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "control/latency_window.h"
#include "control/stream.h"
#include "gateway/gateway.h"
#include "http/error.h"
#include "store/store.h"

namespace oncegate::control {

class JsonWriter;

struct ApiParts {
  Store& store;
  const Clock& clock;
  Logger& logger;
  Gateway* gateway = nullptr;  // null: no gateway runs
  // Whether the application can be reached within so many milliseconds; empty: there is none.
  std::function<Status(int64_t)> probe_upstream;
  std::function<size_t()> connections;  // of the gateway's clients; empty: there is no listener for them
  std::string_view version;
  bool running = true;  // false: nothing runs, a data directory is looked at; statistics then leave out the process
};

struct ApiRequest {
  std::string_view method;
  std::string_view target;  // raw
  std::string_view body;
  std::string_view actor;  // the name of the token, for the log
  bool read_only = false;  // it sees no bodies
  std::string_view if_none_match;
  std::string_view client_ip;
  std::string_view trace;             // the id of the trace that it is part of; empty: of none
  std::function<bool()> client_gone;  // whether nobody will read the answer; may be empty
  bool may_come_later = false;        // the answer may be an ApiAnswer::later
};

struct ApiAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;  // besides those of content and connection
  std::unique_ptr<Stream> stream;                           // not null: the body is what it gives, without end

  // Not empty: the answer needs a write that goes together with others'. To be called once; `done` then gets the
  // answer, once, on this thread or another, and must not wait. Nothing instead of an answer: that has to be waited
  // for, by who asks again without may_come_later.
  using Done = std::function<void(std::optional<ApiAnswer>)>;
  std::function<void(Done done)> later;
};

// An error as an answer: problem+json, with Retry-After and WWW-Authenticate where they belong.
ApiAnswer ProblemAnswer(const http::Error& error);

// What an import may have as its body: any record with its bodies, as export prints it, if they are not larger than the
// limits that are usual.
inline constexpr std::string_view kImportPath = "/v1/import";
inline constexpr size_t kImportBytesMax = 32 << 20;

// The operations of the control listener (docs/api.md), from a request to an answer; no connection and no access rule
// is known here, so that the command line can ask a data directory in the same way. Thread-safe.
class ControlApi {
 public:
  static constexpr size_t kListLimitDefault = 50;
  // A page of records with their bodies ends behind the record that reaches this.
  static constexpr size_t kWholePageBytes = 4 << 20;
  static constexpr size_t kRedeliveriesMax = 4;
  static constexpr int64_t kProbeTimeoutMs = 500;
  static constexpr int64_t kProbeCachedMs = 1000;

  explicit ControlApi(const ApiParts& parts);

  ApiAnswer Answer(const ApiRequest& request);

  // Whether the answer may be an ApiAnswer::later. It is one for claims and completions; others in their place are not.
  static bool MayComeLater(std::string_view method, std::string_view target) {
    return method == "POST" && target.starts_with("/v1/claims");
  }

  // Of those: whether what has to be waited for always comes later.
  static bool ComesLater(std::string_view target) {
    const std::string_view path = target.substr(0, target.find('?'));
    return path == "/v1/claims" || path.ends_with("/complete");
  }

  // What is answered, as "GET /v1/records/*/*", where '*' stands for any one segment.
  static std::vector<std::string> Operations();

  // From now on /readyz says that the server goes down.
  void StartDraining() { draining_ = true; }

 private:
  struct Call;
  struct Operation;
  static const Operation kOperations[];

  ApiAnswer Healthz(const Call& call);
  ApiAnswer Readyz(const Call& call);
  ApiAnswer Dashboard(const Call& call);
  ApiAnswer Session(const Call& call);
  ApiAnswer OpenApi(const Call& call);
  ApiAnswer Metrics(const Call& call);
  ApiAnswer Events(const Call& call);
  ApiAnswer GetStats(const Call& call);
  ApiAnswer ListRecords(const Call& call);
  ApiAnswer GetRecord(const Call& call);
  ApiAnswer ReleaseRecord(const Call& call);
  ApiAnswer Cleanup(const Call& call);
  ApiAnswer Backup(const Call& call);
  ApiAnswer Verify(const Call& call);
  ApiAnswer Import(const Call& call);
  ApiAnswer ResolveRecord(const Call& call);
  ApiAnswer RedeliverRecord(const Call& call);
  ApiAnswer Claim(const Call& call);
  ApiAnswer CompleteClaim(const Call& call);
  ApiAnswer RenewClaim(const Call& call);
  ApiAnswer ReleaseClaim(const Call& call);

  // A page of records with their bodies, as far as they fit.
  ApiAnswer ListWhole(const ListFilter& filter, std::string cursor, size_t limit);
  void WriteOne(const Record& record, bool with_bodies, JsonWriter* json);
  [[nodiscard]] bool Executes(const ScopedKey& key) const;
  [[nodiscard]] Housekeeper::Replays PendingReplays(const ScopedKey& key) const;
  // Empty: ready.
  std::string ReasonNotReady();
  std::string ProbeUpstream();
  bool ReadToken(const Call& call, Token* token, ApiAnswer* problem) const;
  ApiAnswer ClaimAnswer(const Result<ClaimResult>& result);
  ApiAnswer CompletionAnswer(const Status& status);
  ApiAnswer ClaimProblem(const Status& status);
  ApiAnswer RedeliveryAnswer(const Call& call, Reply reply);
  void LogIntervention(const Call& call, LogEvent event, std::string_view what);
  ApiAnswer StoreProblem(const Status& status);

  const ApiParts parts_;
  const int64_t started_ms_;
  const int64_t started_wall_ms_;
  LatencyWindow latency_;
  std::atomic<bool> draining_{false};
  std::atomic<size_t> redelivering_{0};

  std::mutex probe_mutex_;
  std::optional<int64_t> probed_at_ms_;  // guarded by probe_mutex_
  std::string probe_result_;             // guarded by probe_mutex_
};

}  // namespace oncegate::control

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/json_writer.h"
#include "control/latency_window.h"
#include "core/record.h"
#include "gateway/housekeeper.h"
#include "gateway/request_meter.h"
#include "gateway/shadow.h"
#include "store/store.h"

namespace oncegate::control {

// What is known of a record besides what is stored.
struct RecordView {
  bool executing = false;                // this process executes its key now
  Housekeeper::Replays pending_replays;  // counted and not yet written down
  int64_t now_ms = 0;                    // stored time
  bool with_bodies = true;               // false in listings, where the store leaves them out
};

// In progress without anybody who executes it is unknown, whatever the disk says.
RecordState EffectiveState(const Record& record, const RecordView& view);

// One record as the contract has it. Fields that carry credentials or signatures are left out.
void WriteRecord(const Record& record, const RecordView& view, JsonWriter* json);

// Whether a header field may be shown to people.
bool IsShownField(std::string_view name);

// A request's body as people may see it: of JSON and forms, the values of members whose names end in "signature" are
// replaced. Some senders sign in the body, and a signature is as good there as in a header.
std::string ShownBody(std::string_view body);

// What the process adds to what the store counts.
struct ProcessStats {
  int64_t uptime_seconds = 0;
  const RequestMeter* meter = nullptr;  // null: no gateway runs, all are 0
  ShadowCounters::Counts shadow{};
  std::optional<LatencyWindow::Reading> latency;
};

// GET /v1/stats. No `process`: nothing runs, the store is looked at from outside; what only a process knows is null.
void WriteStats(const StoreStats& stats, const CleanupTotals& cleanups, const std::optional<RestoredState>& restored,
                const std::optional<ProcessStats>& process, JsonWriter* json);

}  // namespace oncegate::control

#include "cli/tables.h"

#include <simdjson.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace oncegate::cli {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kBodyBytesShown = 4096;
constexpr size_t kStateColumn = 3;  // of the list

// A member as text; "-" where it is null or absent.
std::string Text(const element& json, std::string_view pointer) {
  element value;
  if (json.at_pointer(pointer).get(value) != simdjson::SUCCESS || value.is_null()) return "-";
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return Printable(text);
  return simdjson::minify(value);
}

std::string Bytes(const element& json, std::string_view pointer) {
  uint64_t bytes = 0;
  if (json.at_pointer(pointer).get(bytes) != simdjson::SUCCESS) return "-";
  return HumanBytes(static_cast<int64_t>(bytes));
}

using Row = std::vector<std::string>;

// Columns as wide as their widest cell. Colours are for the cells that say a state; they have no width.
std::string Aligned(const std::vector<Row>& rows, Colours colours = Colours::kNone) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out.append(i == kStateColumn ? Coloured(row[i], colours) : row[i]);
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 2, ' ');
    }
    out.push_back('\n');
  }
  return out;
}

Status Unexpected() {
  return Internal("the answer is not that of an oncegate server");
}

// Indented lines of "name: value" for the headers, then the body.
void AppendMessage(const element& json, std::string_view where, std::string* out) {
  array headers;
  if (json.at_pointer(std::string(where) + "/headers").get(headers) == simdjson::SUCCESS) {
    for (const element header : headers) {
      out->append("  ").append(Text(header, "/0")).append(": ").append(Text(header, "/1")).append("\n");
    }
  }
  element body;
  if (json.at_pointer(std::string(where) + "/body_base64").get(body) == simdjson::SUCCESS) {
    out->append("  (a body that is not text; --json shows it)\n");
    return;
  }
  if (json.at_pointer(std::string(where) + "/body").get(body) != simdjson::SUCCESS) return;
  std::string_view text;
  if (body.get(text) != simdjson::SUCCESS) {
    out->append("  (the body was not kept)\n");
  } else if (!text.empty()) {
    out->append("\n").append(Printable(text.substr(0, kBodyBytesShown), true)).append("\n");
    if (text.size() > kBodyBytesShown) out->append("… (--json shows all of it)\n");
  }
}

}  // namespace

// Terminals act on control characters; newlines and tabs stay where a text may have several lines.
std::string Printable(std::string_view text, bool multi_line) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool kept = byte >= 0x20 && byte != 0x7f;
    const bool layout = multi_line && (byte == '\n' || byte == '\t');
    // U+0080 to U+009F are control characters too.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    out.push_back((kept || layout) && !c1 ? text[i] : '?');
  }
  return out;
}

Result<std::string> RecordsText(const std::string& json, Colours colours) {
  simdjson::dom::parser parser;
  element page;
  array records;
  if (parser.parse(json).get(page) != simdjson::SUCCESS || page["records"].get(records) != simdjson::SUCCESS)
    return Unexpected();
  std::vector<Row> rows{{"KEY", "SCOPE", "TYPE", "STATE", "ATTEMPT", "REPLAYS", "CREATED", "EXPIRES"}};
  for (const element record : records) {
    rows.push_back({Text(record, "/key"), Text(record, "/scope"), Text(record, "/type"), Text(record, "/state"),
                    Text(record, "/attempt"), Text(record, "/replays"), Text(record, "/created_at"),
                    Text(record, "/expires_at")});
  }
  std::string out = rows.size() == 1 ? "no records\n" : Aligned(rows, colours);
  if (const std::string cursor = Text(page, "/next_cursor"); cursor != "-")
    out.append("more: --cursor " + cursor + "\n");
  return out;
}

Result<std::string> RecordText(const std::string& json, Colours colours) {
  simdjson::dom::parser parser;
  element record;
  if (parser.parse(json).get(record) != simdjson::SUCCESS || Text(record, "/key") == "-") return Unexpected();
  std::vector<Row> rows;
  for (const std::string_view name :
       {"key", "scope", "id", "type", "state", "attempt", "replays", "first_replay_at", "last_replay_at", "created_at",
        "completed_at", "expires_at", "source_ip", "fingerprint"}) {
    const std::string text = Text(record, "/" + std::string(name));
    rows.push_back({std::string(name), name == "state" ? Coloured(text, colours) : text});
  }
  object labels;
  if (record["labels"].get(labels) == simdjson::SUCCESS) {
    for (const auto label : labels) {
      std::string_view value;
      if (label.value.get(value) == simdjson::SUCCESS)
        rows.push_back({"label " + Printable(label.key), Printable(value)});
    }
  }
  std::string out = Aligned(rows);
  if (array history; record["history"].get(history) == simdjson::SUCCESS && history.size() > 0) {
    std::vector<Row> changes{{"AT", "BY", "ACTION", "DETAIL"}};
    for (const element change : history)
      changes.push_back({Text(change, "/at"), Text(change, "/by"), Text(change, "/action"), Text(change, "/detail")});
    out.append("\nhistory:\n").append(Aligned(changes));
  }
  if (Text(record, "/request") != "-") {
    out.append("\nrequest: " + Text(record, "/request/method") + " " + Text(record, "/request/target") + "\n");
    AppendMessage(record, "/request", &out);
  }
  if (Text(record, "/response") != "-") {
    out.append("\nresponse: " + Text(record, "/response/status") + "\n");
    AppendMessage(record, "/response", &out);
  }
  return out;
}

namespace {

// Counters that are not zero: most never are anything else.
bool AppendCounts(const element& stats, std::string_view name, std::vector<Row>* rows) {
  object counts;
  if (stats[name].get(counts) != simdjson::SUCCESS) return false;
  for (const auto one : counts) {
    uint64_t count = 0;
    if (one.value.get(count) == simdjson::SUCCESS && count > 0)
      rows->push_back({std::string(name) + " " + Printable(one.key), std::to_string(count)});
  }
  return true;
}

void AppendRequests(const element& stats, std::vector<Row>* rows) {
  if (AppendCounts(stats, "requests", rows)) rows->push_back({"hit rate", Text(stats, "/hit_rate")});
  AppendCounts(stats, "shadow", rows);
}

std::string TypesText(const element& stats) {
  array types;
  if (stats["by_type"].get(types) != simdjson::SUCCESS || types.size() == 0) return {};
  std::vector<Row> rows{{"TYPE", "ACTIVE", "EXPIRED"}};
  for (const element type : types) rows.push_back({Text(type, "/type"), Text(type, "/active"), Text(type, "/expired")});
  return "\n" + Aligned(rows);
}

}  // namespace

Result<std::string> StatsText(const std::string& json, Colours colours) {
  simdjson::dom::parser parser;
  element stats;
  if (parser.parse(json).get(stats) != simdjson::SUCCESS || Text(stats, "/records/active") == "-") return Unexpected();
  const std::string uptime = Text(stats, "/uptime_seconds");
  std::vector<Row> rows{{"now", Text(stats, "/now")}, {"uptime", uptime == "-" ? uptime : uptime + "s"}};
  for (const std::string_view name : {"active", "completed", "in_progress", "unknown", "expired"}) {
    const std::string count = Text(stats, "/records/" + std::string(name));
    const bool waits = name == "unknown" && count != "0";
    rows.push_back({"records " + std::string(name), waits ? Warning(count, colours) : count});
  }
  AppendRequests(stats, &rows);
  rows.push_back({"cleanup last run", Text(stats, "/cleanup/last_run_at")});
  rows.push_back({"cleanup removed", Text(stats, "/cleanup/removed_total")});
  if (const std::string error = Text(stats, "/cleanup/last_error"); error != "-")
    rows.push_back({"cleanup error", Warning(error, colours)});
  rows.push_back({"store on disk", Bytes(stats, "/store/disk_bytes")});
  rows.push_back({"store log", Bytes(stats, "/store/wal_bytes")});
  rows.push_back({"store memory", Bytes(stats, "/store/memory_bytes")});
  std::string out = Aligned(rows) + TypesText(stats);
  if (Text(stats, "/exact") == "false") out.append("\nThe counts are still being read and will grow.\n");
  return out;
}

Result<std::string> CleanupText(const std::string& json) {
  simdjson::dom::parser parser;
  element report;
  if (parser.parse(json).get(report) != simdjson::SUCCESS || Text(report, "/removed") == "-") return Unexpected();
  return "removed " + Text(report, "/removed") + " expired records, " + Bytes(report, "/bytes_reclaimed") +
         " came back, in " + Text(report, "/seconds") + "s\n";
}

Result<std::string> BackupText(const std::string& json) {
  simdjson::dom::parser parser;
  element report;
  if (parser.parse(json).get(report) != simdjson::SUCCESS || Text(report, "/id") == "-") return Unexpected();
  return "backup " + Text(report, "/id") + " of " + Text(report, "/taken_at") + ": " + Bytes(report, "/bytes") + ", " +
         Bytes(report, "/bytes_copied") + " copied, " + Text(report, "/kept") + " kept, in " +
         Text(report, "/seconds") + "s\n";
}

std::string RestoreText(const RestoreReport& report, const std::string& directory) {
  return "restored backup " + std::to_string(report.id) + " of " + FormatRfc3339(report.taken_at_ms) + " into " +
         directory + "\nIt has forgotten what was claimed since. Start it with\n" +
         "  --restored hold    known keys are answered, new ones refused, until you decide\n" +
         "  --restored accept  new keys are executed, marked Oncegate-Possible-Duplicate: restored\n";
}

Result<std::string> VerifyText(const std::string& json) {
  simdjson::dom::parser parser;
  element report;
  array differences;
  if (parser.parse(json).get(report) != simdjson::SUCCESS ||
      report["differences"].get(differences) != simdjson::SUCCESS)
    return Unexpected();
  std::string out = "verified " + Text(report, "/records") + " records, " + Text(report, "/index_entries") +
                    " index entries and " + Text(report, "/bodies") + " bodies in " + Text(report, "/seconds") +
                    "s: " + (IsSound(json) ? "all is right" : Text(report, "/differences_total") + " differences") +
                    "\n";
  for (const element difference : differences) {
    std::string_view text;
    if (difference.get(text) == simdjson::SUCCESS) out.append("  ").append(Printable(text)).append("\n");
  }
  return out;
}

bool IsSound(const std::string& json) {
  simdjson::dom::parser parser;
  uint64_t differences = 1;
  return parser.parse(json)["differences_total"].get(differences) == simdjson::SUCCESS && differences == 0;
}

std::string ProblemText(int status, const std::string& json) {
  simdjson::dom::parser parser;
  element problem;
  if (parser.parse(json).get(problem) != simdjson::SUCCESS || Text(problem, "/code") == "-")
    return "the server answered " + std::to_string(status);
  return Text(problem, "/detail") + " (" + Text(problem, "/code") + ")";
}

}  // namespace oncegate::cli

// Operations that keep a store: cleanup, backup, verification, import.

#include <simdjson.h>

#include <algorithm>
#include <vector>

#include "control/api_call.h"
#include "control/import_json.h"
#include "control/maintenance.h"
#include "control/members.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;

constexpr uint64_t kBackupsMax = 1'000'000;

struct BackupWish {
  std::string directory;
  uint32_t keep = 0;
};

Status ReadBackupWish(std::string_view body, BackupWish* wish) {
  const Members members{{"dir",
                         [wish](const simdjson::dom::element& value) {
                           std::string_view text;
                           if (value.get(text) != simdjson::SUCCESS) return InvalidArgument("'dir' is not a string");
                           wish->directory = text;
                           return OkStatus();
                         }},
                        {"keep", [wish](const simdjson::dom::element& value) {
                           uint64_t number = 0;
                           if (value.get(number) != simdjson::SUCCESS || number > kBackupsMax)
                             return InvalidArgument("'keep' is not a number from 0 to " + std::to_string(kBackupsMax));
                           wish->keep = static_cast<uint32_t>(number);
                           return OkStatus();
                         }}};
  const std::string_view what = R"(The body is not an object such as {"dir":"/var/backups/oncegate"}.)";
  if (Status status = ReadMembers(body, what, members); !status.ok()) return status;
  if (!wish->directory.starts_with('/') || wish->directory.find('\0') != std::string::npos)
    return InvalidArgument("'dir' is the path of a directory on this machine, from '/'");
  return OkStatus();
}

}  // namespace

std::string BackupJson(const BackupReport& report) {
  JsonWriter json;
  json.BeginObject().Name("id").Uint(report.id).Name("taken_at").TimeOrNull(report.taken_at_ms, 0);
  json.Name("bytes").Uint(report.bytes).Name("bytes_copied").Uint(report.bytes_copied);
  json.Name("kept").Uint(report.kept);
  json.Name("seconds").Double(static_cast<double>(report.duration_ms) / 1000).EndObject();
  return json.Take();
}

ApiAnswer ControlApi::Cleanup(const Call&) {
  const Result<CleanupReport> report = parts_.store.Cleanup();
  if (!report.ok()) return StoreProblem(report.status());
  JsonWriter json;
  json.BeginObject().Name("removed").Uint(report->removed).Name("bytes_reclaimed").Uint(report->bytes_reclaimed);
  json.Name("seconds").Double(static_cast<double>(report->duration_ms) / 1000).EndObject();
  return Json(std::move(json));
}

ApiAnswer ControlApi::Backup(const Call& call) {
  BackupWish wish;
  if (const Status status = ReadBackupWish(call.body, &wish); !status.ok())
    return Problem(ErrorCode::kBadRequest, status.message());
  const Result<BackupReport> report = parts_.store.Backup(wish.directory, wish.keep);
  if (!report.ok()) {
    // The directory is the caller's own, so that the answer may name it.
    if (report.status().code() == StatusCode::kInvalidArgument)
      return Problem(ErrorCode::kBadRequest, report.status().message());
    if (report.status().code() == StatusCode::kConflict)
      return Problem(ErrorCode::kOverloaded, report.status().message());
    return StoreProblem(report.status());
  }
  ApiAnswer answer;
  answer.body = BackupJson(*report);
  return answer;
}

ApiAnswer ControlApi::Verify(const Call&) {
  const Result<VerifyReport> report = parts_.store.Verify();
  if (!report.ok()) return StoreProblem(report.status());
  JsonWriter json;
  json.BeginObject().Name("records").Uint(report->records).Name("index_entries").Uint(report->index_entries);
  json.Name("bodies").Uint(report->bodies).Name("leftover_bodies").Uint(report->leftover_bodies);
  json.Name("differences_total").Uint(report->differences_total).Name("differences").BeginArray();
  for (const std::string& difference : report->differences) json.String(difference);
  json.EndArray();
  json.Name("seconds").Double(static_cast<double>(report->duration_ms) / 1000).EndObject();
  return Json(std::move(json));
}

ApiAnswer ControlApi::Import(const Call& call) {
  const std::string scope = call.target.Find("scope").value_or("default");
  const int64_t now_ms = parts_.store.NowMs();
  struct Rejected {
    size_t line;
    std::string reason;
  };
  std::vector<Record> records;
  std::vector<Rejected> rejected;
  size_t number = 0;
  for (std::string_view rest = call.body; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (number > Store::kImportMax) return Problem(ErrorCode::kBadRequest, "At most 1000 lines at a time.");
    Result<Record> record = ParseImportLine(line, scope, now_ms);
    if (record.ok())
      records.push_back(*std::move(record));
    else
      rejected.push_back({number, record.status().message()});
  }
  const Result<ImportReport> report = parts_.store.Import(std::move(records));
  if (!report.ok()) return StoreProblem(report.status());
  if (report->imported > 0)
    parts_.logger.Log(
        LogLevel::kInfo, LogEvent::kImported, "records imported",
        {{"count", static_cast<int64_t>(report->imported)}, {"by", call.actor.empty() ? "-" : call.actor}});
  JsonWriter json;
  json.BeginObject().Name("imported").Uint(report->imported).Name("existing").Uint(report->existing);
  json.Name("expired").Uint(report->expired).Name("rejected").BeginArray();
  for (const Rejected& row : rejected)
    json.BeginObject().Name("line").Uint(row.line).Name("reason").String(row.reason).EndObject();
  json.EndArray().EndObject();
  return Json(std::move(json));
}

}  // namespace oncegate::control

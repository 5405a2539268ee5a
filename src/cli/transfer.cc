// Records as lines of JSON: out of a store, and into one.

#include <simdjson.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <optional>
#include <ostream>

#include "cli/app.h"
#include "cli/client_flags.h"
#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/record_filters.h"
#include "cli/tables.h"
#include "cli/terminal.h"
#include "control/api.h"
#include "control/target.h"

namespace oncegate::cli {
namespace {

// What goes to the server at once: so many lines and bytes, or one line that is longer.
constexpr size_t kImportBytesUsual = 1 << 20;
constexpr size_t kImportLinesMax = 1000;

// Prints the records of a page, a line each; where the next one begins.
Result<std::string> PrintPage(const std::string& json, std::ostream& out, Progress* progress) {
  simdjson::dom::parser parser;
  simdjson::dom::element page;
  simdjson::dom::array records;
  if (parser.parse(json).get(page) != simdjson::SUCCESS || page["records"].get(records) != simdjson::SUCCESS)
    return Unavailable("what answers is not a control listener of oncegate");
  for (const simdjson::dom::element record : records) out << simdjson::minify(record) << '\n';
  if (progress != nullptr) progress->Add(records.size());
  std::string_view cursor;
  if (page["next_cursor"].get(cursor) != simdjson::SUCCESS) return std::string();
  return std::string(cursor);
}

// What an import came to so far.
struct Tally {
  uint64_t imported = 0;
  uint64_t existing = 0;
  uint64_t expired = 0;
  uint64_t rejected = 0;
};

// Lines of a file, and the number of the first.
struct Lines {
  std::string text;
  size_t count = 0;
  uint64_t first = 1;

  [[nodiscard]] bool HasRoomFor(const std::string& line) const {
    return count == 0 || (count < kImportLinesMax && text.size() + line.size() + 1 <= kImportBytesUsual);
  }
};

Status AddAnswer(const std::string& json, uint64_t first_line, Progress& progress, Tally* tally) {
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  simdjson::dom::array rejected;
  uint64_t imported = 0;
  uint64_t existing = 0;
  uint64_t expired = 0;
  if (parser.parse(json).get(answer) != simdjson::SUCCESS || answer["imported"].get(imported) != simdjson::SUCCESS ||
      answer["existing"].get(existing) != simdjson::SUCCESS || answer["expired"].get(expired) != simdjson::SUCCESS ||
      answer["rejected"].get(rejected) != simdjson::SUCCESS)
    return Unavailable("what answers is not a control listener of oncegate");
  tally->imported += imported;
  tally->existing += existing;
  tally->expired += expired;
  for (const simdjson::dom::element row : rejected) {
    uint64_t line = 0;
    std::string_view reason;
    if (row["line"].get(line) != simdjson::SUCCESS || row["reason"].get(reason) != simdjson::SUCCESS) continue;
    progress.Say("line " + std::to_string(first_line + line - 1) + ": " + Printable(reason));
    ++tally->rejected;
  }
  return OkStatus();
}

Status Send(ControlClient& client, const std::string& scope, Lines* lines, Progress& progress, Tally* tally) {
  if (lines->count == 0) return OkStatus();
  const Result<ControlReply> reply =
      client.Ask("POST", "/v1/import?scope=" + control::PercentEncode(scope), std::exchange(lines->text, {}));
  if (!reply.ok()) return reply.status();
  if (reply->status >= 300) return Unavailable(ProblemText(reply->status, reply->body));
  const uint64_t first = lines->first;
  progress.Add(lines->count);
  lines->first += std::exchange(lines->count, 0);
  return AddAnswer(reply->body, first, progress, tally);
}

Status SendAll(ControlClient& client, const std::string& scope, std::istream& in, Progress& progress, Tally* tally) {
  Lines lines;
  std::string line;
  while (std::getline(in, line)) {
    if (!lines.HasRoomFor(line)) {
      if (Status status = Send(client, scope, &lines, progress, tally); !status.ok()) return status;
    }
    if (line.size() >= control::kImportBytesMax) {
      if (Status status = Send(client, scope, &lines, progress, tally); !status.ok()) return status;
      progress.Say("line " + std::to_string(lines.first) + ": is longer than 32 MiB");
      ++lines.first;
      ++tally->rejected;
      continue;
    }
    lines.text.append(line).push_back('\n');
    ++lines.count;
  }
  return Send(client, scope, &lines, progress, tally);
}

}  // namespace

int RunExport(const Arguments& arguments, const Console& console) {
  constexpr const char* kPageLimit = "1000";
  CommandLine line("Prints records with their bodies as JSON, a line each, newest first.", "oncegate export");
  ClientFlags flags;
  RecordFilters filters;
  filters.AddTo(line);
  flags.AddTo(line, ClientFlags::Source::kServerOrDirectory);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  const Result<std::unique_ptr<ControlClient>> client = ControlClient::Open(flags);
  if (!client.ok()) return FailWith(client.status(), console);
  std::optional<Progress> progress;
  // Records that scroll by are progress enough.
  if (isatty(STDOUT_FILENO) != 1) progress.emplace(console, "exporting", "records");
  std::string cursor;
  do {
    const Result<ControlReply> reply = (*client)->Ask(
        "GET", "/v1/records?bodies=true&limit=" + std::string(kPageLimit) + "&cursor=" + cursor + "&" + filters.Query(),
        {});
    if (!reply.ok()) return FailWith(reply.status(), console);
    if (reply->status >= 300) return Fail(console, kExitFailed, ProblemText(reply->status, reply->body));
    const Result<std::string> next = PrintPage(reply->body, console.out, progress ? &*progress : nullptr);
    if (!next.ok()) return FailWith(next.status(), console);
    if (!console.out.flush()) return Fail(console, kExitFailed, "standard output cannot be written");
    cursor = *next;
  } while (!cursor.empty());
  return kExitOk;
}

int RunImport(const Arguments& arguments, const Console& console) {
  CommandLine line("Takes over records from lines of JSON; keys that are known already stay as they are.",
                   "oncegate import");
  ClientFlags flags;
  std::string file;
  std::string scope = "default";
  line.Argument("FILE", &file, "Records as 'export' prints them, or rows of an older system; '-' is standard input");
  line.Text("--scope", "NAME", &scope, "Of the lines that do not say theirs");
  flags.AddTo(line, ClientFlags::Source::kServer);
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) return Fail(console, kExitUsage, "'" + file + "' cannot be read");
  }
  const Result<std::unique_ptr<ControlClient>> client = ControlClient::Open(flags);
  if (!client.ok()) return FailWith(client.status(), console);
  Tally tally;
  std::optional<Progress> progress(std::in_place, console, "importing", "lines");
  const Status status = SendAll(**client, scope, file == "-" ? std::cin : opened, *progress, &tally);
  progress.reset();
  if (flags.json) {
    console.out << R"({"imported":)" << tally.imported << R"(,"existing":)" << tally.existing << R"(,"expired":)"
                << tally.expired << R"(,"rejected":)" << tally.rejected << "}\n";
  } else {
    console.out << "imported " << tally.imported << ", known already " << tally.existing << ", expired "
                << tally.expired << ", rejected " << tally.rejected << "\n";
  }
  console.out << std::flush;
  if (!status.ok()) return FailWith(status, console);
  return tally.rejected == 0 ? kExitOk : kExitFailed;
}

}  // namespace oncegate::cli

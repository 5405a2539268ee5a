#include "control/import_json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/units.h"
#include "control/members.h"
#include "control/response_json.h"
#include "core/key.h"
#include "gateway/messages.h"
#include "http/chars.h"
#include "http/head.h"
#include "http/writer.h"

namespace oncegate::control {
namespace {

using simdjson::dom::element;

constexpr size_t kTypeBytesMax = 256;
constexpr size_t kLabelsMax = 64;
constexpr std::array<std::string_view, 25> kLineMembers{"attempt",
                                                        "body",
                                                        "body_base64",
                                                        "completed_at",
                                                        "created",
                                                        "created_at",
                                                        "expires",
                                                        "expires_at",
                                                        "fingerprint",
                                                        "fingerprint_recipe",
                                                        "first_replay_at",
                                                        "headers",
                                                        "history",
                                                        "last_replay_at",
                                                        "id",
                                                        "key",
                                                        "labels",
                                                        "replays",
                                                        "request",
                                                        "response",
                                                        "scope",
                                                        "source_ip",
                                                        "state",
                                                        "status",
                                                        "type"};
constexpr std::array<std::string_view, 4> kHistoryMembers{"action", "at", "by", "detail"};
constexpr std::array<std::string_view, 5> kRequestMembers{"body", "body_base64", "headers", "method", "target"};
constexpr std::array<std::string_view, 4> kResponseMembers{"body", "body_base64", "headers", "status"};
constexpr int64_t kSecondsMax = 100'000'000'000;  // larger numbers are milliseconds: this is the year 5138

bool IsOneOf(std::string_view name, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Status Wrong(std::string_view member, std::string_view what) {
  return InvalidArgument("'" + std::string(member) + "' " + std::string(what));
}

Status ReadString(std::string_view member, const element& value, std::string* text) {
  std::string_view view;
  if (value.get(view) != simdjson::SUCCESS) return Wrong(member, "is not a string");
  text->assign(view);
  return OkStatus();
}

Status ReadTime(std::string_view member, const element& value, int64_t* ms) {
  int64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS) {
    if (number < 0) return Wrong(member, "is before 1970");
    *ms = number < kSecondsMax ? number * 1000 : number;
    return OkStatus();
  }
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return Wrong(member, "is neither a time nor a number of seconds");
  const Result<int64_t> parsed = ParseRfc3339Ms(text);
  if (!parsed.ok()) return Wrong(member, ": " + parsed.status().message());
  *ms = *parsed;
  return OkStatus();
}

Status ReadBase64(std::string_view member, const element& value, std::string* bytes) {
  std::string text;
  if (Status status = ReadString(member, value, &text); !status.ok()) return status;
  return DecodeBase64(text, bytes) ? OkStatus() : Wrong(member, "is not base64 with padding");
}

Status AddField(std::string_view member, std::string_view name, std::string_view value, std::string* lines) {
  const bool is_name = !name.empty() && http::SpanOf(name, http::kTokenChar) == name.size();
  const bool is_value =
      std::none_of(value.begin(), value.end(), [](char c) { return http::HasClass(c, http::kControlChar); });
  if (!is_name || !is_value) return Wrong(member, "have characters that no header field has");
  http::AppendField(name, value, lines);
  return OkStatus();
}

// [[name, value], …] or {name: value}, as field lines.
Status ReadFields(std::string_view member, const element& value, std::string* lines) {
  simdjson::dom::array pairs;
  if (value.get(pairs) == simdjson::SUCCESS) {
    for (const element& pair : pairs) {
      std::string_view name;
      std::string_view text;
      if (pair.at_pointer("/0").get(name) != simdjson::SUCCESS || pair.at_pointer("/1").get(text) != simdjson::SUCCESS)
        return Wrong(member, "is not a list of [name, value]");
      if (Status status = AddField(member, name, text, lines); !status.ok()) return status;
    }
    return OkStatus();
  }
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return Wrong(member, "is not a list of [name, value]");
  for (const auto& [name, field] : object) {
    std::string text;
    if (Status status = ReadString(member, field, &text); !status.ok()) return status;
    if (Status status = AddField(member, name, text, lines); !status.ok()) return status;
  }
  return OkStatus();
}

// A message as it is gathered from its members.
struct Message {
  std::optional<uint16_t> status;
  std::string method;
  std::string target;
  std::string fields;
  std::string body;
  bool has_body = false;
  bool nested = false;  // an object of its own, as exports have it

  // False: this is no member of a message.
  bool Take(std::string_view name, const element& value, bool request, Status* status_out) {
    if (name == "status" && !request) {
      *status_out = TakeStatus(value);
    } else if (name == "method" && request) {
      *status_out = ReadString(name, value, &method);
    } else if (name == "target" && request) {
      *status_out = ReadString(name, value, &target);
    } else if (name == "headers") {
      *status_out = ReadFields(name, value, &fields);
    } else if (name == "body") {
      *status_out = TakeBody(value);
    } else if (name == "body_base64") {
      *status_out = ReadBase64(name, value, &body);
      has_body = true;
    } else {
      return false;
    }
    return true;
  }

 private:
  Status TakeStatus(const element& value) {
    int64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS || number < 200 || number > 599)
      return Wrong("status", "is not the status of an HTTP answer, 200 to 599");
    status = static_cast<uint16_t>(number);
    return OkStatus();
  }
  // Older systems keep JSON as JSON.
  Status TakeBody(const element& value) {
    if (value.is_null()) return OkStatus();
    has_body = true;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) {
      body.assign(text);
    } else {
      body = simdjson::minify(value);
    }
    return OkStatus();
  }
};

Result<StoredResponse> ResponseOf(Message message) {
  if (!message.status) return InvalidArgument("'status' is missing");
  std::string bytes;
  http::AppendStatusLine(*message.status, {}, &bytes);
  bool typed = false;
  for (std::string_view rest = message.fields; !rest.empty();) {
    const size_t end = rest.find("\r\n") + 2;
    const std::string_view line = rest.substr(0, end);
    const std::string_view name = line.substr(0, line.find(':'));
    rest.remove_prefix(end);
    typed = typed || http::EqualsIgnoreCase(name, "Content-Type");
    // The length is that of the body that is here.
    if (!http::EqualsIgnoreCase(name, "Content-Length") && !http::EqualsIgnoreCase(name, "Transfer-Encoding"))
      bytes.append(line);
  }
  const bool json = message.body.starts_with('{') || message.body.starts_with('[');
  if (!typed && !message.body.empty())
    http::AppendField("Content-Type", json ? "application/json" : "text/plain; charset=utf-8", &bytes);
  if (!http::StatusHasNoBody(*message.status)) http::AppendField("Content-Length", message.body.size(), &bytes);
  bytes += "\r\n";
  http::HeadParser parser;
  http::ResponseHead head;
  if (parser.ParseResponse(bytes, "POST", &head) != http::ParseState::kDone)
    return InvalidArgument("'headers' make no HTTP answer: " + parser.error().detail);
  // What was too large to be kept is `null` in an export; a row without a body had none.
  const bool kept = message.has_body || !message.nested || http::StatusHasNoBody(*message.status);
  return ResponseToStore(head, std::move(message.body), kept);
}

Result<StoredRequest> RequestOf(Message message) {
  if (message.method.empty() || http::SpanOf(message.method, http::kTokenChar) != message.method.size())
    return Wrong("request.method", "is not a method");
  if (message.target.empty() || http::SpanOf(message.target, http::kTargetChar) != message.target.size())
    return Wrong("request.target", "is not the target of a request");
  return StoredRequest{.method = std::move(message.method),
                       .target = std::move(message.target),
                       .fields = std::move(message.fields),
                       .body = std::move(message.body),
                       .body_kept = message.has_body};
}

// Gathers the members of one line.
class LineReader {
 public:
  explicit LineReader(std::string_view scope) : scope_(scope) { record_.state = RecordState::kCompleted; }

  Status Take(std::string_view name, const element& value) {
    if (!IsOneOf(name, kLineMembers)) return UnknownMember(name, kLineMembers);
    if (value.is_null() && name != "key") return OkStatus();  // as good as left out
    if (name == "id") return TakeId(value);
    if (name == "scope") return ReadString(name, value, &scope_);
    if (name == "key") return ReadString(name, value, &key_);
    if (name == "type") return ReadString(name, value, &record_.type);
    if (name == "state") return TakeState(value);
    if (name == "attempt") return TakeAttempt(value);
    if (name == "created_at" || name == "created") return ReadTime(name, value, &created_at_ms_.emplace());
    if (name == "completed_at") return ReadTime(name, value, &record_.completed_at_ms);
    if (name == "expires_at" || name == "expires") return ReadTime(name, value, &record_.expires_at_ms);
    if (name == "source_ip") return ReadString(name, value, &record_.source_ip);
    if (name == "fingerprint") return ReadString(name, value, &digest_);
    if (name == "fingerprint_recipe") return ReadString(name, value, &recipe_);
    if (name == "labels") return TakeLabels(value);
    if (name == "replays" || name == "first_replay_at" || name == "last_replay_at") return OkStatus();  // counted anew
    if (name == "history") return TakeHistory(value);
    if (name == "request") return TakeMessage(name, value, true, &request_);
    if (name == "response") return TakeMessage(name, value, false, &response_);
    if (!response_) response_.emplace();
    Status status;
    if (!response_->Take(name, value, false, &status)) return UnknownMember(name, kLineMembers);
    return status;
  }

  Result<Record> Finish(int64_t now_ms) {
    if (!IsRecordScope(scope_)) return Wrong("scope", "is not 1 to 64 characters of A-Z a-z 0-9 . _ -");
    if (key_.empty()) return Wrong("key", "is missing");
    if (!IsValidKey(key_))
      return Wrong("key", "has more than 255 characters, or others than A-Z a-z 0-9 . _ : = + / @ ~ -");
    record_.key = ScopedKey(scope_, key_);
    if (record_.type.empty()) record_.type = "webhook";
    if (record_.type.size() > kTypeBytesMax) return Wrong("type", "is too long");
    if (Status status = FinishFingerprint(); !status.ok()) return status;
    record_.created_at_ms = std::min(created_at_ms_.value_or(now_ms), now_ms);
    if (request_) {
      Result<StoredRequest> request = RequestOf(*std::move(request_));
      if (!request.ok()) return request.status();
      record_.request = *std::move(request);
    }
    return record_.state == RecordState::kCompleted ? FinishCompleted() : FinishUnknown(now_ms);
  }

 private:
  Status TakeId(const element& value) {
    std::string_view text;
    // Rows of other systems have numbers of their own.
    if (value.get(text) != simdjson::SUCCESS || text.size() != 36) return OkStatus();
    std::string hex(text);
    std::erase(hex, '-');
    std::string bytes;
    if (!FromHex(hex, &bytes) || bytes.size() != record_.id.size()) return Wrong("id", "is not a UUID");
    std::copy(bytes.begin(), bytes.end(), record_.id.begin());
    return OkStatus();
  }
  Status TakeState(const element& value) {
    std::string name;
    if (Status status = ReadString("state", value, &name); !status.ok()) return status;
    const std::optional<RecordState> state = ParseRecordState(name);
    if (!state) return Wrong("state", "is not in_progress, completed or unknown");
    record_.state = *state == RecordState::kCompleted ? RecordState::kCompleted : RecordState::kUnknown;
    return OkStatus();
  }
  Status TakeAttempt(const element& value) {
    int64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS || number < 1 || number > std::numeric_limits<int32_t>::max())
      return Wrong("attempt", "is not a number from 1");
    record_.attempt = static_cast<uint32_t>(number);
    return OkStatus();
  }
  Status TakeLabels(const element& value) {
    simdjson::dom::object labels;
    if (value.get(labels) != simdjson::SUCCESS) return Wrong("labels", "is not an object of strings");
    for (const auto& [name, text] : labels) {
      std::string label;
      if (Status status = ReadString("labels", text, &label); !status.ok()) return status;
      if (record_.labels.size() == kLabelsMax) return Wrong("labels", "are too many");
      record_.labels.emplace_back(name, std::move(label));
    }
    return OkStatus();
  }
  Status TakeHistory(const element& value) {
    simdjson::dom::array entries;
    if (value.get(entries) != simdjson::SUCCESS || entries.size() > kHistoryMax)
      return Wrong("history", "is not a list of up to " + std::to_string(kHistoryMax) + " entries");
    for (const element& one : entries) {
      simdjson::dom::object members;
      if (one.get(members) != simdjson::SUCCESS) return Wrong("history", "is not a list of objects");
      HistoryEntry& entry = record_.history.emplace_back();
      std::string action;
      for (const auto& [name, part] : members) {
        Status status;
        if (name == "at") {
          status = part.is_null() ? OkStatus() : ReadTime("history.at", part, &entry.at_ms);
        } else if (name == "by") {
          status = part.is_null() ? OkStatus() : ReadString("history.by", part, &entry.by);
        } else if (name == "action") {
          status = ReadString("history.action", part, &action);
        } else if (name == "detail") {
          status = ReadString("history.detail", part, &entry.detail);
        } else {
          status = UnknownMember("history." + std::string(name), kHistoryMembers);
        }
        if (!status.ok()) return status;
      }
      const std::optional<HistoryAction> known = ParseHistoryAction(action);
      if (!known) return Wrong("history.action", "is not resolved or redelivered");
      entry.action = *known;
    }
    return OkStatus();
  }
  static Status TakeMessage(std::string_view name, const element& value, bool request,
                            std::optional<Message>* message) {
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) return Wrong(name, "is not an object");
    message->emplace();
    (*message)->nested = true;
    for (const auto& [member, part] : object) {
      Status status;
      if (!(*message)->Take(member, part, request, &status))
        return UnknownMember(std::string(name) + "." + std::string(member),
                             request ? std::span<const std::string_view>(kRequestMembers) : kResponseMembers);
      if (!status.ok()) return status;
    }
    return OkStatus();
  }
  Status FinishFingerprint() {
    if (digest_.empty()) return OkStatus();
    std::string bytes;
    Fingerprint fingerprint;
    if (!FromHex(digest_, &bytes) || bytes.size() != fingerprint.digest.size())
      return Wrong("fingerprint", "is not 64 hexadecimal digits");
    std::copy(bytes.begin(), bytes.end(), fingerprint.digest.begin());
    const std::optional<FingerprintRecipe> recipe =
        recipe_.empty() ? FingerprintRecipe::kOpaque : ParseFingerprintRecipe(recipe_);
    if (!recipe) return Wrong("fingerprint_recipe", "is not opaque, whole_request or without_body");
    fingerprint.recipe = *recipe;
    record_.fingerprint = fingerprint;
    return OkStatus();
  }
  Result<Record> FinishCompleted() {
    if (record_.expires_at_ms == kNever) return Wrong("expires_at", "is missing");
    if (record_.completed_at_ms == 0) record_.completed_at_ms = record_.created_at_ms;
    if (!response_) return InvalidArgument("'status' or 'response' is missing");
    Result<StoredResponse> response = ResponseOf(*std::move(response_));
    if (!response.ok()) return response.status();
    record_.response = *std::move(response);
    record_.ttl_ms = std::max<int64_t>(record_.expires_at_ms - record_.completed_at_ms, 0);
    return std::move(record_);
  }
  // An unknown outcome stays until an operator settles it, unless it was to end by itself.
  Result<Record> FinishUnknown(int64_t now_ms) {
    record_.completed_at_ms = 0;
    record_.hold_unknown = record_.expires_at_ms == kNever;
    record_.ttl_ms = record_.hold_unknown ? kHeldTtlMs : std::max<int64_t>(record_.expires_at_ms - now_ms, 0);
    return std::move(record_);
  }

  // How long the outcome is remembered once an operator has settled it.
  static constexpr int64_t kHeldTtlMs = 24LL * 3600 * 1000;

  std::string scope_;
  std::string key_;
  std::string digest_;
  std::string recipe_;
  std::optional<int64_t> created_at_ms_;
  std::optional<Message> request_;
  std::optional<Message> response_;
  Record record_;
};

}  // namespace

Result<Record> ParseImportLine(std::string_view line, std::string_view default_scope, int64_t now_ms) {
  simdjson::dom::parser parser;
  element document;
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size()).get(document) != simdjson::SUCCESS ||
      document.get(object) != simdjson::SUCCESS)
    return InvalidArgument("the line is not one JSON object");
  LineReader reader(default_scope);
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : object) {
    if (IsOneOf(name, seen)) return Wrong(name, "is repeated");
    seen.push_back(name);
    if (Status status = reader.Take(name, value); !status.ok()) return status;
  }
  return reader.Finish(now_ms);
}

}  // namespace oncegate::control

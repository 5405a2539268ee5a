#include "control/response_json.h"

#include <openssl/evp.h>
#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "control/members.h"
#include "gateway/messages.h"
#include "http/chars.h"
#include "http/head.h"
#include "http/writer.h"

namespace oncegate::control {
namespace {

using simdjson::dom::element;

Status ReadField(const element& pair, std::string* lines) {
  simdjson::dom::array parts;
  std::string_view name;
  std::string_view value;
  if (pair.get(parts) != simdjson::SUCCESS || parts.size() != 2 || parts.at(0).get(name) != simdjson::SUCCESS ||
      parts.at(1).get(value) != simdjson::SUCCESS)
    return InvalidArgument("'headers' is not a list of [name, value]");
  const bool is_name = !name.empty() && http::SpanOf(name, http::kTokenChar) == name.size();
  const bool is_value =
      std::none_of(value.begin(), value.end(), [](char c) { return http::HasClass(c, http::kControlChar); });
  if (!is_name || !is_value) return InvalidArgument("'headers' have characters that no header field has");
  // The length is that of the body that is here.
  if (!http::EqualsIgnoreCase(name, "Content-Length") && !http::EqualsIgnoreCase(name, "Transfer-Encoding"))
    http::AppendField(name, value, lines);
  return OkStatus();
}

Status ReadFields(const element& value, std::string* lines) {
  simdjson::dom::array pairs;
  if (value.get(pairs) != simdjson::SUCCESS) return InvalidArgument("'headers' is not a list of [name, value]");
  for (const element& pair : pairs) {
    if (Status status = ReadField(pair, lines); !status.ok()) return status;
  }
  return OkStatus();
}

// An outcome as it is gathered from its members.
struct Outcome {
  int64_t status = 0;
  std::string fields;
  std::optional<std::string> body;
  bool body_kept = true;

  Status Read(std::string_view json) {
    const Members members{{"status", [this](const element& value) { return TakeStatus(value); }},
                          {"headers", [this](const element& value) { return ReadFields(value, &fields); }},
                          {"body", [this](const element& value) { return TakeBody("body", value); }},
                          {"body_base64", [this](const element& value) { return TakeBody("body_base64", value); }}};
    const std::string_view what =
        R"(an outcome is an object such as {"status":200,"headers":[["Content-Type","a/b"]]})";
    return ReadMembers(json, what, members);
  }

  Result<StoredResponse> Finish() && {
    if (status == 0) return InvalidArgument("'status' is missing");
    const bool bodiless = http::StatusHasNoBody(static_cast<int>(status));
    if (bodiless && body && !body->empty()) return InvalidArgument("an answer of this status has no body");
    const std::string content = std::move(body).value_or("");
    std::string bytes;
    http::AppendStatusLine(static_cast<int>(status), {}, &bytes);
    bytes.append(fields);
    if (!bodiless) http::AppendField("Content-Length", content.size(), &bytes);
    bytes.append("\r\n");
    http::HeadParser parser;
    http::ResponseHead head;
    if (parser.ParseResponse(bytes, "POST", &head) != http::ParseState::kDone)
      return InvalidArgument("'headers' make no HTTP answer: " + parser.error().detail);
    // An answer of a status without a body has lost nothing.
    return ResponseToStore(head, content, body_kept || bodiless);
  }

 private:
  Status TakeStatus(const element& value) {
    if (value.get(status) != simdjson::SUCCESS || status < 200 || status > 599)
      return InvalidArgument("'status' is not the status of an HTTP answer, 200 to 599");
    return OkStatus();
  }
  Status TakeBody(std::string_view name, const element& value) {
    if (body) return InvalidArgument("'body' and 'body_base64' exclude each other");
    // As a replay says it: there was a body, and it was too large to be kept.
    if (name == "body" && value.is_null()) {
      body_kept = false;
      body.emplace();
      return OkStatus();
    }
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) return InvalidArgument("'" + std::string(name) + "' is not a string");
    body.emplace(text);
    if (name == "body_base64" && !DecodeBase64(text, &*body))
      return InvalidArgument("'body_base64' is not base64 with padding");
    return OkStatus();
  }
};

}  // namespace

bool DecodeBase64(std::string_view text, std::string* bytes) {
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  const std::string_view digits = text.substr(0, text.size() - padding);
  const bool sound = std::all_of(digits.begin(), digits.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
  if (text.size() % 4 != 0 || !sound) return false;
  bytes->resize(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes->data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return false;
  bytes->resize(static_cast<size_t>(size) - padding);
  return true;
}

Result<StoredResponse> ParseResponseJson(std::string_view json) {
  Outcome outcome;
  if (Status status = outcome.Read(json); !status.ok()) return status;
  return std::move(outcome).Finish();
}

void WriteReplay(const StoredResponse& response, JsonWriter* json) {
  json->BeginObject().Name("status").Uint(response.status).Name("headers").BeginArray();
  std::string_view lines = response.head;
  lines.remove_prefix(std::min(lines.find("\r\n") + 2, lines.size()));
  while (!lines.empty()) {
    const size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    const size_t colon = std::min(line.find(':'), line.size());
    if (colon == line.size() || http::EqualsIgnoreCase(line.substr(0, colon), "Content-Length")) continue;
    json->BeginArray().String(line.substr(0, colon)).String(http::TrimSpaces(line.substr(colon + 1))).EndArray();
  }
  json->EndArray();
  if (response.body_kept) {
    json->Body(response.body);
  } else {
    json->Name("body").Null();
  }
  json->EndObject();
}

}  // namespace oncegate::control

#include "gateway/messages.h"

#include <algorithm>
#include <array>

#include "http/writer.h"
#include "webhook/encoding.h"
#include "webhook/json_path.h"

namespace oncegate {
namespace {

using http::AppendField;
using http::EqualsIgnoreCase;

// Written to no disk: whoever can read the store must not be able to act as the sender.
constexpr std::array<std::string_view, 10> kCredentialFields{"X-Telegram-Bot-Api-Secret-Token",

                                                             "Authorization",
                                                             "Proxy-Authorization",
                                                             "Cookie",
                                                             "X-Api-Key",
                                                             "Api-Key",
                                                             "X-Auth-Token",
                                                             "X-Access-Token",
                                                             "X-Gitlab-Token",
                                                             "X-Goog-Channel-Token"};
// They describe the exact bytes of a body that a replay does not have.
constexpr std::array<std::string_view, 8> kBodyBoundFields{
    "Content-Length", "Content-Encoding", "Content-Range",  "Content-MD5",
    "ETag",           "Digest",           "Content-Digest", "Repr-Digest"};
// They belong to one answer at one time, not to its retries.
constexpr std::array<std::string_view, 2> kOneTimeFields{"Date", "Set-Cookie"};
// oncegate says these itself; `Expect` was answered by oncegate when it took the body.
constexpr std::array<std::string_view, 3> kReplacedRequestFields{kForwardedForField, kForwardedProtoField, "Expect"};

template <size_t N>
bool OneOf(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view other) { return EqualsIgnoreCase(name, other); });
}

// Many application servers (CGI's rules: PHP, WSGI, Rack) read "Oncegate_Key" as "Oncegate-Key".
std::string WithDashes(std::string_view name) {
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  return dashed;
}

bool IsOwnField(std::string_view name) {
  return name.size() >= kFieldPrefix.size() && EqualsIgnoreCase(name.substr(0, kFieldPrefix.size()), kFieldPrefix);
}

// Whether a field of the client's request is passed on.
bool IsForwarded(const http::Field& field, const InboundRequest& request) {
  if (http::IsHopByHop(field.name, request.head.fields)) return false;
  const std::string name = WithDashes(field.name);
  // A stranger's word on where it comes from, which the application may believe before X-Forwarded-For.
  if (request.proxy_ip.empty() && EqualsIgnoreCase(name, kForwardedField)) return false;
  return !IsOwnField(name) && !OneOf(name, kReplacedRequestFields);
}

// Whether a field of the application's answer is passed on at all.
bool IsEndToEnd(const http::Field& field, const http::ResponseHead& head) {
  // RFC 9110 section 8.6: a 204 has no Content-Length, whatever the application says.
  if (head.status == 204 && EqualsIgnoreCase(field.name, "Content-Length")) return false;
  return !http::IsHopByHop(field.name, head.fields) && !IsOwnField(field.name) &&
         !EqualsIgnoreCase(field.name, kReplayedField);
}

// The addresses that X-Forwarded-For names: a trusted proxy's word and the proxy, otherwise the client.
std::string ForwardedFor(const InboundRequest& request) {
  if (request.proxy_ip.empty()) return request.client_ip;
  std::string addresses;
  const http::Fields& fields = request.head.fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (EqualsIgnoreCase(fields[i].name, kForwardedForField)) addresses.append(fields[i].value).append(", ");
  }
  // The proxy may have said it with Forwarded, which is passed on as it is.
  if (addresses.empty() && request.client_ip != request.proxy_ip) addresses = request.client_ip + ", ";
  return addresses + request.proxy_ip;
}

bool RedactQuery(const Route& route, std::string* target) {
  const size_t mark = target->find('?');
  if (mark == std::string::npos || route.redact_fields.empty()) return false;
  const auto redacted = RedactForm(std::string_view(*target).substr(mark + 1), route.redact_fields);
  if (redacted) target->replace(mark + 1, std::string::npos, *redacted);
  return redacted.has_value();
}

// Whether the body is a form of parts (RFC 7578), whose fields are not looked into.
bool IsMultipart(const http::Fields& fields) {
  constexpr std::string_view kMultipart = "multipart/";
  const auto type = fields.Find("Content-Type");
  return type && EqualsIgnoreCase(type->substr(0, kMultipart.size()), kMultipart);
}

// Replaces what the route says; true if there was anything. A body that JSON pointers are meant for and that is neither
// JSON nor a form is not kept at all: what it holds is not known. Nor is a form of parts.
bool Redact(const Route& route, bool multipart, StoredRequest* stored) {
  bool replaced = RedactQuery(route, &stored->target);
  if (!stored->body_kept || stored->body.empty() || (route.redact_paths.empty() && route.redact_fields.empty()))
    return replaced;
  bool in_json = false;
  const std::optional<std::string> json = RedactJson(stored->body, route.redact_paths, &in_json);
  if (json) {
    stored->body = *json;
    return replaced || in_json;
  }
  const std::optional<std::string> form = RedactForm(stored->body, route.redact_fields);
  if (form) {
    stored->body = *form;
    return true;
  }
  if (route.redact_paths.empty() && !multipart) return replaced;
  stored->body.clear();
  stored->body_kept = false;
  return true;
}

}  // namespace

std::string OutboundHead(const Route& route, const InboundRequest& request, const KeyedFields* keyed) {
  const http::Fields& fields = request.head.fields;
  std::string head;
  head.reserve(1024);
  head.append(request.head.method).append(" ");
  if (request.head.target != "*") head.append(route.upstream_prefix);  // "*" is the server, wherever it is
  head.append(request.head.target).append(" HTTP/1.1\r\n");
  bool host = false;
  bool length = false;
  for (size_t i = 0; i < fields.size(); ++i) {
    const http::Field field = fields[i];
    if (!IsForwarded(field, request)) continue;
    host = host || EqualsIgnoreCase(field.name, "Host");
    length = length || EqualsIgnoreCase(field.name, "Content-Length");
    AppendField(field.name, field.value, &head);
  }
  if (!host) AppendField("Host", route.upstream_authority, &head);  // HTTP/1.0 clients may leave it out
  if (!length && request.head.framing == http::Framing::kChunked)
    AppendField("Content-Length", request.body.size(), &head);
  AppendField(kForwardedForField, ForwardedFor(request), &head);
  AppendField(kForwardedProtoField, request.tls ? "https" : "http", &head);
  AppendField("Via", "1.1 oncegate", &head);
  if (keyed != nullptr) {
    AppendField(kKeyField, keyed->key, &head);
    AppendField(kAttemptField, keyed->attempt, &head);
    if (keyed->possible_duplicate) AppendField(kPossibleDuplicateField, "restored", &head);
    if (keyed->redelivery) AppendField(kRedeliveryField, "true", &head);
  }
  head += "\r\n";
  return head;
}

StoredRequest RequestToStore(const Route& route, const InboundRequest& request) {
  StoredRequest stored;
  stored.method = request.head.method;
  stored.target = request.head.target;
  const http::Fields& fields = request.head.fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    const http::Field field = fields[i];
    const bool scope_secret = !route.scope_header.empty() && EqualsIgnoreCase(field.name, route.scope_header);
    if (OneOf(field.name, kCredentialFields) || scope_secret || IsOwnField(WithDashes(field.name))) continue;
    AppendField(field.name, field.value, &stored.fields);
  }
  stored.body_kept = route.store_request_body;
  if (stored.body_kept) stored.body = request.body;
  if (Redact(route, IsMultipart(fields), &stored)) AppendField(kRedactedField, "yes", &stored.fields);
  return stored;
}

std::string ClientHead(const http::ResponseHead& head, Outcome outcome) {
  std::string text;
  text.reserve(512);
  http::AppendStatusLine(head.status, head.reason, &text);
  for (size_t i = 0; i < head.fields.size(); ++i) {
    const http::Field field = head.fields[i];
    if (IsEndToEnd(field, head)) AppendField(field.name, field.value, &text);
  }
  AppendField(kOutcomeField, outcome.name(), &text);
  return text;
}

StoredResponse ResponseToStore(const http::ResponseHead& head, std::string body, bool body_kept) {
  StoredResponse stored;
  stored.status = static_cast<uint16_t>(head.status);
  stored.body_kept = body_kept;
  http::AppendStatusLine(head.status, head.reason, &stored.head);
  for (size_t i = 0; i < head.fields.size(); ++i) {
    const http::Field field = head.fields[i];
    if (!IsEndToEnd(field, head) || OneOf(field.name, kOneTimeFields)) continue;
    if (!body_kept && OneOf(field.name, kBodyBoundFields)) continue;
    AppendField(field.name, field.value, &stored.head);
  }
  if (body_kept) {
    CompleteLength(head, body.size(), &stored.head);
    stored.body = std::move(body);
  } else {
    AppendField("Content-Length", uint64_t{0}, &stored.head);
    AppendField(kBodyField, "omitted", &stored.head);
  }
  return stored;
}

Reply ReplayOf(StoredResponse response) {
  Reply reply;
  reply.status = response.status;
  reply.head = std::move(response.head);
  reply.body = std::move(response.body);
  // Room for all that is yet to come behind it, so that it grows once: two fields here, the connection's, a short body.
  constexpr size_t kMoreFieldsBytes = 128;
  constexpr size_t kShortBodyBytes = 4096;
  reply.head.reserve(reply.head.size() + kMoreFieldsBytes + std::min(reply.body.size(), kShortBodyBytes));
  reply.head += ReplayFields();
  return reply;
}

std::string_view ReplayFields() {
  static const std::string fields = [] {
    std::string text;
    AppendField(kReplayedField, "true", &text);
    AppendField(kOutcomeField, Outcome(Outcome::kReplayed).name(), &text);
    return text;
  }();
  return fields;
}

Reply ProblemReply(const http::Error& error) {
  Reply reply;
  reply.status = error.status.value_or(http::ErrorStatus(error.code));
  reply.body = http::ProblemJson(error);
  http::AppendStatusLine(reply.status, {}, &reply.head);
  AppendField("Content-Type", http::kProblemContentType, &reply.head);
  AppendField("Content-Length", reply.body.size(), &reply.head);
  if (error.retry_after_s) AppendField("Retry-After", static_cast<uint64_t>(*error.retry_after_s), &reply.head);
  AppendField("Cache-Control", "no-store", &reply.head);
  AppendField(kOutcomeField, Outcome(error.code).name(), &reply.head);
  return reply;
}

Reply EmptyReply(const http::Error& error) {
  Reply reply;
  reply.status = error.status.value_or(http::ErrorStatus(error.code));
  http::AppendStatusLine(reply.status, {}, &reply.head);
  AppendField("Content-Length", uint64_t{0}, &reply.head);
  if (error.retry_after_s) AppendField("Retry-After", static_cast<uint64_t>(*error.retry_after_s), &reply.head);
  AppendField(kOutcomeField, Outcome(error.code).name(), &reply.head);
  return reply;
}

void CompleteLength(const http::ResponseHead& answer, size_t body_bytes, std::string* head) {
  if (answer.framing == http::Framing::kContentLength || answer.fields.Find("Content-Length").has_value()) return;
  if (!http::StatusHasNoBody(answer.status)) AppendField("Content-Length", body_bytes, head);
}

}  // namespace oncegate

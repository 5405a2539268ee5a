#pragma once

#include <cstdint>
#include <string>

#include "core/record.h"
#include "gateway/exchange.h"
#include "gateway/outcome.h"
#include "gateway/route.h"
#include "http/error.h"
#include "http/head.h"

namespace oncegate {

// The header fields of the contract. The one place that knows their names.
inline constexpr std::string_view kOutcomeField = "Oncegate-Outcome";
inline constexpr std::string_view kKeyField = "Oncegate-Key";
inline constexpr std::string_view kAttemptField = "Oncegate-Attempt";
inline constexpr std::string_view kPossibleDuplicateField = "Oncegate-Possible-Duplicate";
inline constexpr std::string_view kRedeliveryField = "Oncegate-Redelivery";
inline constexpr std::string_view kBodyField = "Oncegate-Body";
inline constexpr std::string_view kStoreField = "Oncegate-Store";
inline constexpr std::string_view kForwardedField = "Forwarded";
inline constexpr std::string_view kForwardedForField = "X-Forwarded-For";
inline constexpr std::string_view kForwardedProtoField = "X-Forwarded-Proto";
inline constexpr std::string_view kReplayedField = "Idempotency-Replayed";
inline constexpr std::string_view kFieldPrefix = "Oncegate-";

// What is forwarded with a keyed request besides the request itself.
struct KeyedFields {
  std::string_view key;
  uint32_t attempt = 1;
  bool possible_duplicate = false;  // the store was restored and may have forgotten that the key was executed
  bool redelivery = false;          // an operator has it sent again
};

// The request as the application gets it: request line, fields and the empty line. `keyed` may be null.
std::string OutboundHead(const Route& route, const InboundRequest& request, const KeyedFields* keyed);

// Stands among the stored fields of a request that was redacted: it cannot be sent again.
inline constexpr std::string_view kRedactedField = "Oncegate-Redacted";

// The request as it is remembered, for people and for redelivery: no credentials, no fields of ours but kRedactedField,
// and what the route says replaced.
StoredRequest RequestToStore(const Route& route, const InboundRequest& request);

// Status line and fields of the application's answer as the client gets them: end-to-end fields in order, and
// Oncegate-Outcome. Content-Length stays where the application put it.
std::string ClientHead(const http::ResponseHead& head, Outcome outcome);

// The application's answer as it is remembered. `body_kept` false: the body is left out, and with it the fields that
// describe its bytes.
StoredResponse ResponseToStore(const http::ResponseHead& head, std::string body, bool body_kept);

// The answer to a retry.
Reply ReplayOf(StoredResponse response);
// What the head of a replay says besides what is stored: fields, each ended by CRLF.
std::string_view ReplayFields();

// oncegate's own answer; the same without a body, for senders that accept none.
Reply ProblemReply(const http::Error& error);
Reply EmptyReply(const http::Error& error);

// Gives `*head` a Content-Length if a response of this status can have a body and the head does not name a length yet.
void CompleteLength(const http::ResponseHead& answer, size_t body_bytes, std::string* head);

}  // namespace oncegate

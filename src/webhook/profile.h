#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "core/policy.h"
#include "webhook/json_path.h"
#include "webhook/request.h"

namespace oncegate {

// Holds if the value is there and, where values are listed, is one of them.
struct Condition {
  Source source;
  std::vector<std::string> in;  // empty: any value
  bool only_field = false;      // and the body is a form with this one field
  bool absent = false;          // instead: there is no value
};

// What is signed: literal text and placeholders. Those in one pair of brackets are left out, with the text between the
// brackets, if a value is absent.
struct TemplatePiece {
  enum class Kind : uint8_t { kText, kBody, kTimestamp, kMethod, kUrl, kUrlDecoded, kSecret, kValue };
  Kind kind = Kind::kText;
  std::string text;  // kText; for others the name of the placeholder, for messages
  Source source;     // kValue
  bool lower = false;
  int group = 0;  // 0: must be there
};

enum class SchemeKind : uint8_t { kTemplate, kTwilio, kAdyenItems, kBraintree, kSns, kPaypal };
enum class SignatureFormat : uint8_t { kRaw, kPrefix, kOptionalPrefix, kMember, kList };
enum class SignatureEncoding : uint8_t { kHex, kBase64, kLiteral };
enum class SignatureAlgorithm : uint8_t {
  kHmacSha1,
  kHmacSha256,
  kHmacSha512,
  kSha256,
  kEqual,
  kEd25519,
  kEcdsaSha256
};
enum class KeyForm : uint8_t { kUtf8, kHtml, kHex, kBase64, kWhsec, kWhpk };
enum class TimestampUnit : uint8_t { kSeconds, kMilliseconds, kAuto };

// One way in which a provider signs.
struct SignatureScheme {
  SchemeKind kind = SchemeKind::kTemplate;
  std::vector<Condition> when;
  Source signature;
  SignatureFormat format = SignatureFormat::kRaw;
  std::string separator;  // kMember, kList
  std::string prefix;     // kPrefix, kOptionalPrefix, kList; kMember: the member's name
  SignatureEncoding encoding = SignatureEncoding::kHex;
  SignatureAlgorithm algorithm = SignatureAlgorithm::kHmacSha256;
  std::vector<KeyForm> key_forms;
  std::vector<TemplatePiece> signed_content;
  std::optional<Source> timestamp;
  std::string timestamp_member;  // of the signature; instead of `timestamp`
  TimestampUnit unit = TimestampUnit::kSeconds;
  std::optional<int64_t> tolerance_ms;  // nothing: the time is not checked
  bool future_refused = true;           // whether a time beyond now + tolerance is refused, too

  [[nodiscard]] bool has_timestamp() const { return timestamp.has_value() || !timestamp_member.empty(); }
};

struct KeyPart {
  std::vector<Source> any;  // the first that is there counts
  bool optional = false;    // absent ones are the empty string
};

// The ids of all elements of a batch, in order. Every element needs all of `with` and at least one of `of` (where there
// are any), or else there is no key.
struct KeyItems {
  std::optional<size_t> each;  // paths of the profile; nothing: the whole body is the one element
  std::vector<size_t> with;
  std::vector<size_t> of;
};

// One way to make a key; the first one whose conditions hold and whose parts are there counts.
struct KeyRule {
  std::vector<Condition> when;
  std::vector<KeyPart> parts;
  std::optional<KeyItems> items;
};

// Requests that are forwarded and never remembered.
struct Handshake {
  std::vector<Condition> when;
  bool is_unsigned = false;
};

// What a signed delivery is recognised by when it comes again under another, unsigned id.
struct ReplayGuard {
  std::vector<Source> of;
  std::vector<Condition> unless;
};

enum class SecretNeed : uint8_t { kRequired, kOptional, kNone };

// A delivery for tests and tutorials, without its signature.
struct ProfileSample {
  std::string secret;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // What differs when the provider sends it again: text in the body and what stands there then.
  std::vector<std::pair<std::string, std::string>> retry_edits;
  std::string key;        // what the delivery's key is
  std::string other_key;  // what stands for it in another event
};

// Everything that is known of one provider. The schema is docs/provider-profiles.md. Immutable once parsed.
struct Profile {
  std::string name;
  std::string title;
  std::string notes;
  std::vector<JsonPath> paths;  // what Source::json and KeyItems count by
  std::vector<std::string> methods{"POST"};
  SecretNeed secret = SecretNeed::kRequired;
  std::vector<SignatureScheme> signatures;
  std::vector<KeyRule> keys;
  bool body_may_change = false;
  std::optional<ReplayGuard> replay_guard;
  std::vector<Source> type;
  std::vector<std::pair<std::string, Source>> labels;
  std::vector<Handshake> handshakes;
  int64_t ttl_ms = 0;
  int64_t retry_horizon_ms = 0;
  int64_t in_flight_wait_ms = 0;
  int64_t connect_retry_ms = 0;
  int busy_status = 409;
  std::string success_text;
  StatusSet success;
  bool empty_refusals = false;  // refusals have no body: the provider takes any for a failure
  bool replay_bodies = true;    // false: a replay has no body, because the provider would act on it once more
  std::optional<ProfileSample> sample;
  std::string json;  // as it was read
};

inline constexpr size_t kProfileBytesMax = 64 * 1024;
inline constexpr int64_t kConnectRetryMsMax = 60'000;

// InvalidArgument, with a message that names the member, for anything that the schema does not allow.
Result<Profile> ParseProfile(std::string_view json);

// The profiles that are compiled in, by name. Parsed at the first call.
std::span<const Profile> BuiltinProfiles();
const Profile* FindProfile(std::string_view name);  // null: there is none

}  // namespace oncegate

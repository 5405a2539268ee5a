#include "webhook/verifier.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <utility>

#include "base/hash.h"
#include "base/units.h"
#include "webhook/identity.h"
#include "webhook/scheme.h"

namespace oncegate {
namespace {

constexpr int64_t kMillisecondsFrom = 100'000'000'000;  // as seconds, this would be the year 5138

std::vector<std::string_view> Split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(Trim(text.substr(0, end)));
    if (end == std::string_view::npos || parts.size() == SignatureVerifier::kCandidatesMax) return parts;
    text.remove_prefix(end + separator.size());
  }
}

// The value of `name` in "t=1,v1=ab".
std::optional<std::string_view> Member(std::string_view part, std::string_view name) {
  const size_t equals = part.find('=');
  if (equals == std::string_view::npos || Trim(part.substr(0, equals)) != name) return std::nullopt;
  return Trim(part.substr(equals + 1));
}

// What a request offers as its signature by one scheme.
struct Offer {
  std::vector<std::string> texts;               // the values of the header, field or pointer
  std::vector<std::string_view> candidates;     // the encoded signatures in them
  std::optional<std::string_view> member_time;  // the member of the signature that says the time
};

void TakeCandidates(const SignatureScheme& scheme, std::string_view text, Offer* offer) {
  switch (scheme.format) {
    case SignatureFormat::kRaw:
      offer->candidates.push_back(text);
      return;
    case SignatureFormat::kPrefix:
      if (text.starts_with(scheme.prefix)) offer->candidates.push_back(text.substr(scheme.prefix.size()));
      return;
    case SignatureFormat::kOptionalPrefix:
      if (text.starts_with(scheme.prefix)) text.remove_prefix(scheme.prefix.size());
      offer->candidates.push_back(text);
      return;
    case SignatureFormat::kMember:
      for (const std::string_view part : Split(text, scheme.separator)) {
        if (const auto value = Member(part, scheme.prefix)) offer->candidates.push_back(*value);
        const auto time = scheme.timestamp_member.empty() ? std::nullopt : Member(part, scheme.timestamp_member);
        if (time && !offer->member_time) offer->member_time = time;
      }
      return;
    case SignatureFormat::kList:
      for (const std::string_view part : Split(text, scheme.separator)) {
        if (part.starts_with(scheme.prefix)) offer->candidates.push_back(part.substr(scheme.prefix.size()));
      }
      return;
  }
}

Offer OfferOf(const SignatureScheme& scheme, RequestReader& request) {
  Offer offer;
  if (scheme.signature.kind == Source::Kind::kHeader) {
    for (const std::string_view value : request.Headers(scheme.signature.name)) {
      if (!value.empty() && offer.texts.size() < SignatureVerifier::kCandidatesMax) offer.texts.emplace_back(value);
    }
  } else if (auto value = request.Value(scheme.signature)) {
    offer.texts.push_back(*std::move(value));
  }
  for (const std::string& text : offer.texts) TakeCandidates(scheme, text, &offer);
  if (offer.candidates.size() > SignatureVerifier::kCandidatesMax)
    offer.candidates.resize(SignatureVerifier::kCandidatesMax);
  return offer;
}

std::optional<std::string> Decode(SignatureEncoding encoding, std::string_view text) {
  std::string bytes;
  switch (encoding) {
    case SignatureEncoding::kHex:
      return FromHex(text, &bytes) ? std::optional(bytes) : std::nullopt;
    case SignatureEncoding::kBase64:
      return DecodeBase64(text);
    case SignatureEncoding::kLiteral:
      return std::string(text);
  }
  return std::nullopt;
}

// HubSpot signs the address with these escapes decoded.
std::string DecodeSomeEscapes(std::string_view url) {
  constexpr std::string_view kDecoded = ":/?@!$'()*,;";
  std::string decoded;
  for (size_t i = 0; i < url.size(); ++i) {
    const std::string byte = url[i] == '%' ? DecodePercent(url.substr(i, 3), false) : std::string();
    if (byte.size() == 1 && kDecoded.find(byte[0]) != std::string_view::npos) {
      decoded += byte;
      i += 2;
    } else {
      decoded.push_back(url[i]);
    }
  }
  return decoded;
}

// The signed content as pieces; texts that are made for it live in `made`.
struct Content {
  Pieces pieces;
  std::deque<std::string> made;
  std::string absent;     // a placeholder that must be there and is not
  std::string ambiguous;  // one whose value holds what ends it
};

class ContentMaker {
 public:
  ContentMaker(const SignatureScheme& scheme, RequestReader& request, std::optional<std::string_view> timestamp)
      : scheme_(scheme), request_(request), timestamp_(timestamp) {}

  Content Make(std::string_view secret) {
    Content content;
    for (size_t i = 0; i < scheme_.signed_content.size(); ++i) {
      const TemplatePiece& piece = scheme_.signed_content[i];
      if (piece.group != 0 && GroupAbsent(piece.group)) continue;
      const std::optional<std::string_view> value = ValueOf(piece, secret, &content);
      if (!value) {
        content.absent = piece.text;
        return content;
      }
      content.pieces.push_back(*value);
      if (EndIsIn(*value, i)) content.ambiguous = piece.text;
    }
    return content;
  }

 private:
  // "{h:webhook-id}.{ts}." with a dot in the id could be read in two ways, and only one of them was signed.
  [[nodiscard]] bool EndIsIn(std::string_view value, size_t piece) const {
    const bool short_value = scheme_.signed_content[piece].kind == TemplatePiece::Kind::kValue ||
                             scheme_.signed_content[piece].kind == TemplatePiece::Kind::kTimestamp;
    if (!short_value || piece + 1 == scheme_.signed_content.size()) return false;
    const TemplatePiece& next = scheme_.signed_content[piece + 1];
    return next.kind == TemplatePiece::Kind::kText && value.find(next.text.front()) != std::string_view::npos;
  }

  bool GroupAbsent(int group) {
    return std::any_of(scheme_.signed_content.begin(), scheme_.signed_content.end(), [&](const TemplatePiece& piece) {
      return piece.group == group && piece.kind == TemplatePiece::Kind::kValue && !request_.Value(piece.source);
    });
  }

  std::optional<std::string_view> ValueOf(const TemplatePiece& piece, std::string_view secret, Content* content) {
    const WebhookRequest& request = request_.request();
    switch (piece.kind) {
      case TemplatePiece::Kind::kText:
        return piece.text;
      case TemplatePiece::Kind::kBody:
        return request.body;
      case TemplatePiece::Kind::kTimestamp:
        return timestamp_;
      case TemplatePiece::Kind::kMethod:
        return request.method;
      case TemplatePiece::Kind::kUrl:
        return request.url;
      case TemplatePiece::Kind::kUrlDecoded:
        return content->made.emplace_back(DecodeSomeEscapes(request.url));
      case TemplatePiece::Kind::kSecret:
        return secret;
      case TemplatePiece::Kind::kValue:
        break;
    }
    std::optional<std::string> value = request_.Value(piece.source);
    if (!value) return std::nullopt;
    if (piece.lower)
      std::transform(value->begin(), value->end(), value->begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return content->made.emplace_back(*std::move(value));
  }

  const SignatureScheme& scheme_;
  RequestReader& request_;
  const std::optional<std::string_view> timestamp_;
};

// Whether any secret made `signature` of the content.
bool AnySecretSigned(const CompiledScheme& compiled, ContentMaker& maker, const Content& content,
                     const std::string& signature) {
  switch (compiled.scheme->algorithm) {
    case SignatureAlgorithm::kHmacSha1:
    case SignatureAlgorithm::kHmacSha256:
    case SignatureAlgorithm::kHmacSha512:
      return AnyMac(compiled.hmac_keys, content.pieces, signature);
    case SignatureAlgorithm::kSha256:
      return std::any_of(compiled.secrets.begin(), compiled.secrets.end(), [&](const std::string& secret) {
        return SecretsEqual(DigestOf(Digest::kSha256, maker.Make(secret).pieces), signature);
      });
    case SignatureAlgorithm::kEqual:
      return std::any_of(compiled.secrets.begin(), compiled.secrets.end(),
                         [&](const std::string& secret) { return SecretsEqual(secret, signature); });
    case SignatureAlgorithm::kEd25519:
    case SignatureAlgorithm::kEcdsaSha256: {
      const auto scheme = compiled.scheme->algorithm == SignatureAlgorithm::kEd25519 ? PublicKey::Scheme::kEd25519
                                                                                     : PublicKey::Scheme::kEcdsaSha256;
      return std::any_of(compiled.public_keys.begin(), compiled.public_keys.end(),
                         [&](const PublicKey& key) { return key.Verify(scheme, content.pieces, signature); });
    }
  }
  return false;
}

SignatureVerdict CheckTime(const CompiledScheme& compiled, std::optional<std::string_view> text, int64_t now_ms) {
  if (!compiled.tolerance_ms || !compiled.scheme->has_timestamp()) return Acceptance();
  if (!text) return Refusal(SignatureReason::kMissing, "the signed time is missing");
  int64_t time = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), time);
  if (error != std::errc() || end != text->data() + text->size() || time < 0)
    return Refusal(SignatureReason::kTimestampMalformed, "the signed time is not a whole number");
  const bool seconds = compiled.scheme->unit == TimestampUnit::kSeconds ||
                       (compiled.scheme->unit == TimestampUnit::kAuto && time < kMillisecondsFrom);
  // Beyond this it is in the far future anyway, and must not overflow.
  const int64_t time_ms = seconds ? std::min(time, kMillisecondsFrom) * 1000 : time;
  const std::string tolerance = FormatDurationMs(*compiled.tolerance_ms);
  // Senders stamp whole seconds: what is exactly as old as the tolerance is within it.
  if (now_ms - time_ms > *compiled.tolerance_ms)
    return Refusal(SignatureReason::kTimestampOld, "the signature is right, but it was made " +
                                                       FormatDurationMs(now_ms - time_ms) + " ago and only " +
                                                       tolerance +
                                                       " are accepted: an old delivery that is played again, a clock "
                                                       "that is wrong, or a --tolerance that is too short");
  if (compiled.scheme->future_refused && time_ms - now_ms > *compiled.tolerance_ms)
    return Refusal(SignatureReason::kTimestampNew, "the signature is right, but it was made " +
                                                       FormatDurationMs(time_ms - now_ms) + " in the future and only " +
                                                       tolerance + " are accepted: one of the two clocks is wrong");
  return Acceptance();
}

std::string Where(const SignatureScheme& scheme, const Profile& profile) {
  if (scheme.signature.kind == Source::Kind::kHeader) return "the header " + scheme.signature.name;
  if (scheme.signature.kind == Source::Kind::kJson) return "the value " + profile.paths[scheme.signature.json].text();
  return "the form field " + scheme.signature.name;
}

bool GuardsSignedContent(const Profile& profile) {
  return profile.replay_guard && std::any_of(profile.replay_guard->of.begin(), profile.replay_guard->of.end(),
                                             [](const Source& source) { return source.kind == Source::Kind::kSigned; });
}

SignatureVerdict VerifyTemplate(const CompiledScheme& compiled, RequestReader& request, const VerifyTimes& times,
                                const Offer& offer, const Profile& profile) {
  const SignatureScheme& scheme = *compiled.scheme;
  if (offer.candidates.empty())
    return Refusal(SignatureReason::kMalformed, Where(scheme, profile) + " holds no signature of the expected form");
  std::optional<std::string_view> timestamp = offer.member_time;
  std::optional<std::string> timestamp_text;
  if (scheme.timestamp) {
    timestamp_text = request.Value(*scheme.timestamp);
    if (timestamp_text) timestamp = *timestamp_text;
  }
  ContentMaker maker(scheme, request, timestamp);
  const Content content = maker.Make({});
  if (!content.absent.empty())
    return Refusal(SignatureReason::kMissing,
                   "a part that is signed is missing from the request: {" + content.absent + "}");
  if (!content.ambiguous.empty())
    return Refusal(SignatureReason::kMalformed,
                   "the value of {" + content.ambiguous + "} holds the character that ends it");
  bool readable = false;
  for (const std::string_view candidate : offer.candidates) {
    const std::optional<std::string> signature = Decode(scheme.encoding, candidate);
    if (!signature || signature->empty()) continue;
    readable = true;
    if (!AnySecretSigned(compiled, maker, content, *signature)) continue;
    SignatureVerdict verdict = CheckTime(compiled, timestamp, times.now_ms);
    if (GuardsSignedContent(profile)) {
      for (const std::string_view piece : content.pieces) verdict.signed_content += piece;
    }
    return verdict;
  }
  if (!readable)
    return Refusal(SignatureReason::kMalformed, Where(scheme, profile) + " holds a signature that cannot be decoded");
  return Refusal(SignatureReason::kMismatch, "the signature is not one that these secrets make of this request");
}

}  // namespace

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view SignatureReasonName(SignatureReason reason) {
  constexpr std::array<std::string_view, static_cast<size_t>(SignatureReason::kCount)> kNames{
      "none",          "missing",      "malformed", "mismatch", "body_mismatch", "certificate", "timestamp_malformed",
      "timestamp_old", "timestamp_new"};
  return kNames[static_cast<size_t>(reason)];
}

SignatureVerdict Refusal(SignatureReason reason, std::string detail) {
  return {.reason = reason, .detail = std::move(detail), .signed_content = {}};
}

SignatureVerdict Acceptance(std::string signed_content) {
  return {.reason = SignatureReason::kNone, .detail = {}, .signed_content = std::move(signed_content)};
}

bool AnyMac(const std::vector<HmacKey>& keys, const Pieces& pieces, std::string_view mac) {
  bool found = false;
  for (const HmacKey& key : keys) {
    const std::string expected = key.Sign(pieces);
    if (expected.size() == mac.size() && SameBytes(expected, mac)) found = true;
  }
  return found;
}

SignatureVerifier::SignatureVerifier(const Profile& profile) : profile_(&profile) {}
SignatureVerifier::~SignatureVerifier() = default;
SignatureVerifier::SignatureVerifier(SignatureVerifier&& other) noexcept = default;
SignatureVerifier& SignatureVerifier::operator=(SignatureVerifier&& other) noexcept = default;

// The first header, field or pointer that holds a signature decides; where one can hold several kinds, any of them
// counts. A request without any is refused by the first scheme.
SignatureVerdict SignatureVerifier::Verify(RequestReader& request, const VerifyTimes& times) const {
  std::optional<SignatureVerdict> refusal;
  const Source* decided_by = nullptr;
  for (const CompiledScheme& compiled : schemes_) {
    const SignatureScheme& scheme = *compiled.scheme;
    if (!Hold(scheme.when, request)) continue;
    if (decided_by != nullptr &&
        (decided_by->kind != scheme.signature.kind || decided_by->name != scheme.signature.name))
      continue;
    if (scheme.kind != SchemeKind::kTemplate) {
      if (decided_by != nullptr) continue;
      return VerifySpecial(compiled, request, times);
    }
    const Offer offer = OfferOf(scheme, request);
    if (offer.texts.empty()) {
      if (!refusal) refusal = Refusal(SignatureReason::kMissing, Where(scheme, *profile_) + " is missing");
      continue;
    }
    if (decided_by == nullptr) refusal.reset();
    decided_by = &scheme.signature;
    SignatureVerdict verdict = VerifyTemplate(compiled, request, times, offer, *profile_);
    if (verdict.valid()) return verdict;
    // Of several kinds in one header, the one that could be read says most.
    if (!refusal || refusal->reason == SignatureReason::kMalformed) refusal = std::move(verdict);
  }
  return refusal ? *std::move(refusal) : Refusal(SignatureReason::kMissing, "the request carries no signature");
}

SignatureVerdict SignatureVerifier::VerifySpecial(const CompiledScheme& compiled, RequestReader& request,
                                                  const VerifyTimes& times) {
  switch (compiled.scheme->kind) {
    case SchemeKind::kTemplate:
      break;
    case SchemeKind::kTwilio:
      return VerifyTwilio(compiled, request);
    case SchemeKind::kAdyenItems:
      return VerifyAdyenItems(compiled, request);
    case SchemeKind::kBraintree:
      return VerifyBraintree(compiled, request);
    case SchemeKind::kSns:
      return VerifySns(compiled, request, times);
    case SchemeKind::kPaypal:
      return VerifyPaypal(compiled, request, times);
  }
  return Refusal(SignatureReason::kMissing, "the request carries no signature");
}

}  // namespace oncegate

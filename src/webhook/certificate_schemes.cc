// Providers that sign with certificates: Amazon SNS and PayPal. The certificates come from the secret file; the address
// that a message names for them is checked and never fetched.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "webhook/scheme.h"

namespace oncegate {
namespace {

// Digits only, as many as there are characters.
bool ReadNumber(std::string_view text, int* out) {
  const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits && std::from_chars(text.data(), text.data() + text.size(), *out).ec == std::errc();
}

// The host of an https address without user, port and odd characters.
std::optional<std::string_view> PlainHost(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  const std::string_view host = url.substr(0, url.find('/'));
  if (host.empty() || host.size() == url.size()) return std::nullopt;
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  return plain ? std::optional(host) : std::nullopt;
}

// sns.REGION.amazonaws.com or sns.REGION.amazonaws.com.cn
bool IsSnsHost(std::string_view host) {
  if (host.ends_with(".cn")) host.remove_suffix(3);
  constexpr std::string_view kHead = "sns.";
  constexpr std::string_view kTail = ".amazonaws.com";
  if (host.size() <= kHead.size() + kTail.size() || !host.starts_with(kHead) || !host.ends_with(kTail)) return false;
  return host.substr(kHead.size(), host.size() - kHead.size() - kTail.size()).find('.') == std::string_view::npos;
}

SignatureVerdict OfChain(const CertificateChain::Verdict& verdict) {
  if (verdict.verified) return Acceptance();
  switch (verdict.trust) {
    case CertificateChain::Trust::kOk:
      return Refusal(SignatureReason::kMismatch,
                     "the signature is not one that the certificates of the file make of this message");
    case CertificateChain::Trust::kWrongName:
      return Refusal(SignatureReason::kCertificate, "the certificate of the file is of another name");
    case CertificateChain::Trust::kNotValidThen:
      return Refusal(SignatureReason::kCertificate, "the certificate of the file has expired, or is not valid yet");
    case CertificateChain::Trust::kUntrusted:
      break;
  }
  return Refusal(SignatureReason::kCertificate,
                 "the certificate of the file does not chain up to one of its authorities");
}

constexpr std::array<std::string_view, 7> kNotification{"Message",   "MessageId", "Subject?",
                                                        "Timestamp", "TopicArn",  "Type"};
constexpr std::array<std::string_view, 7> kConfirmation{"Message", "MessageId", "SubscribeURL", "Timestamp",
                                                        "Token",   "TopicArn",  "Type"};

struct SnsMessage {
  std::vector<std::optional<std::string>> values;
  std::vector<JsonPath::Member> names;

  [[nodiscard]] std::vector<std::string_view> all_names() const {
    std::vector<std::string_view> all;
    for (const JsonPath::Member& member : names) all.emplace_back(member.name);
    return all;
  }
  [[nodiscard]] const std::optional<std::string>& operator[](std::string_view name) const {
    const auto at =
        std::find_if(names.begin(), names.end(), [name](const auto& member) { return member.name == name; });
    return values[static_cast<size_t>(at - names.begin())];
  }
};

// "Name\nvalue\n" of each signed member; nothing if one is missing.
std::optional<std::string> SnsContent(const SnsMessage& message) {
  const bool notification = message["Type"] == "Notification";
  if (!notification && message["Type"] != "SubscriptionConfirmation" && message["Type"] != "UnsubscribeConfirmation")
    return std::nullopt;
  std::string content;
  for (std::string_view name : notification ? kNotification : kConfirmation) {
    if (name.empty()) break;
    const bool optional = name.ends_with('?');
    if (optional) name.remove_suffix(1);
    const std::optional<std::string>& value = message[name];
    if (!value && !optional) return std::nullopt;
    if (value) content.append(name).append("\n").append(*value).append("\n");
  }
  return content;
}

// CRC-32 as zip and zlib have it (polynomial 0xEDB88320). Once a delivery, so that a loop over bits is quick enough
// for small bodies and a table for large ones is made at compile time.
consteval std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
    table[i] = value;
  }
  return table;
}

uint32_t Crc32(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

}  // namespace

std::optional<int64_t> ParseUtc(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() < kShape.size() + 1 || text.back() != 'Z') return std::nullopt;
  for (size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] != '0' && text[i] != kShape[i]) return std::nullopt;
  }
  std::string_view fraction = text.substr(kShape.size(), text.size() - kShape.size() - 1);
  int ignored = 0;
  if (!fraction.empty() && (fraction.size() < 2 || fraction.size() > 10 || fraction.front() != '.' ||
                            !ReadNumber(fraction.substr(1), &ignored)))
    return std::nullopt;
  std::array<int, 6> numbers{};
  constexpr std::array<std::pair<size_t, size_t>, 6> kPlaces{{{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}}};
  for (size_t i = 0; i < kPlaces.size(); ++i) {
    if (!ReadNumber(text.substr(kPlaces[i].first, kPlaces[i].second), &numbers[i])) return std::nullopt;
  }
  const std::chrono::year_month_day day{std::chrono::year(numbers[0]),
                                        std::chrono::month(static_cast<unsigned>(numbers[1])),
                                        std::chrono::day(static_cast<unsigned>(numbers[2]))};
  if (!day.ok() || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 60) return std::nullopt;
  const auto moment = std::chrono::sys_days(day) + std::chrono::hours(numbers[3]) + std::chrono::minutes(numbers[4]) +
                      std::chrono::seconds(numbers[5]);
  return std::chrono::duration_cast<std::chrono::milliseconds>(moment.time_since_epoch()).count();
}

SignatureVerdict VerifySns(const CompiledScheme& scheme, RequestReader& request, const VerifyTimes& times) {
  const std::vector<JsonPath> paths{
      *JsonPath::Parse("/{Type,Message,MessageId,Subject,SubscribeURL,Timestamp,Token,TopicArn,Signature,"
                       "SignatureVersion,SigningCertURL}")};
  const auto found = FindJson(request.request().body, paths);
  if (!found || (*found)[0].empty()) return Refusal(SignatureReason::kMissing, "the body is no SNS message (JSON)");
  const SnsMessage message{(*found)[0].front().values, paths[0].members()};
  if (RepeatsMember(request.request().body, message.all_names()))
    return Refusal(SignatureReason::kMalformed, "the message has a member twice, of which only one can be signed");
  if (!message["Signature"] || !message["SigningCertURL"])
    return Refusal(SignatureReason::kMissing,
                   "the message has no Signature or no SigningCertURL (raw message delivery drops both)");
  const auto host = PlainHost(*message["SigningCertURL"]);
  if (!host || !IsSnsHost(*host) || !message["SigningCertURL"]->ends_with(".pem"))
    return Refusal(SignatureReason::kCertificate, "SigningCertURL is not on a host of Amazon SNS");
  const std::optional<std::string>& version = message["SignatureVersion"];
  if (version != "1" && version != "2")
    return Refusal(SignatureReason::kMalformed, "SignatureVersion is neither 1 nor 2");
  // This header is what applications tell messages apart by, and it is not signed.
  const auto type = request.Header("x-amz-sns-message-type");
  const std::optional<std::string> content = SnsContent(message);
  if (!content || (type && *type != *message["Type"]))
    return Refusal(SignatureReason::kMalformed,
                   "the message lacks a signed value, or its type is not the one that the header says");
  const std::optional<std::string> signature = DecodeBase64(*message["Signature"]);
  const std::optional<int64_t> time_ms = ParseUtc(message["Timestamp"].value_or(""));
  if (!signature || !time_ms) return Refusal(SignatureReason::kMalformed, "Signature or Timestamp cannot be read");
  const int64_t valid_at_s = times.certificates_ms.value_or(*time_ms) / 1000;
  const std::vector<std::string> names{"sns.amazonaws.com", std::string(*host)};
  const auto rsa = version == "1" ? PublicKey::Scheme::kRsaSha1 : PublicKey::Scheme::kRsaSha256;
  return OfChain(scheme.chains.front().Verify(rsa, {*content}, *signature, valid_at_s, names));
}

SignatureVerdict VerifyPaypal(const CompiledScheme& scheme, RequestReader& request, const VerifyTimes& times) {
  constexpr std::array<std::string_view, 5> kNames{"PAYPAL-TRANSMISSION-SIG", "PAYPAL-TRANSMISSION-ID",
                                                   "PAYPAL-TRANSMISSION-TIME", "PAYPAL-AUTH-ALGO", "PAYPAL-CERT-URL"};
  std::array<std::string_view, kNames.size()> values;
  for (size_t i = 0; i < kNames.size(); ++i) {
    const auto value = request.Header(kNames[i]);
    if (!value || value->empty())
      return Refusal(SignatureReason::kMissing, "the header " + std::string(kNames[i]) + " is missing");
    values[i] = *value;
  }
  const auto& [signature_text, id, time, algorithm, url] = values;
  const auto host = PlainHost(url);
  if (!host || (*host != "paypal.com" && !host->ends_with(".paypal.com")))
    return Refusal(SignatureReason::kCertificate, "PAYPAL-CERT-URL is not on a host of PayPal");
  if (algorithm != "SHA256withRSA")
    return Refusal(SignatureReason::kMalformed, "PAYPAL-AUTH-ALGO is not SHA256withRSA");
  const std::optional<std::string> signature = DecodeBase64(signature_text);
  const std::optional<int64_t> time_ms = ParseUtc(time);
  if (!signature || !time_ms)
    return Refusal(SignatureReason::kMalformed, "PAYPAL-TRANSMISSION-SIG or PAYPAL-TRANSMISSION-TIME cannot be read");
  const std::string crc = std::to_string(Crc32(request.request().body));
  const int64_t valid_at_s = times.certificates_ms.value_or(*time_ms) / 1000;
  const std::vector<std::string> names{".paypal.com"};
  SignatureVerdict verdict = Refusal(SignatureReason::kMismatch, "");
  for (const std::string& webhook_id : scheme.secrets) {
    verdict = OfChain(scheme.chains.front().Verify(
        PublicKey::Scheme::kRsaSha256, {id, "|", time, "|", webhook_id, "|", crc}, *signature, valid_at_s, names));
    if (verdict.valid()) break;
  }
  return verdict;
}

}  // namespace oncegate

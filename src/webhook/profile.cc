#include "webhook/profile.h"

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/units.h"
#include "core/key.h"
#include "webhook/profile_reader.h"

namespace oncegate {
namespace {

namespace dom = simdjson::dom;

// Reads the members of a profile. The first error is kept, later ones are of no interest.
class ProfileParser {
 public:
  explicit ProfileParser(Profile* profile) : profile_(*profile) {}

  Status Parse(dom::object root) {
    const Members members{
        {"name", [this](dom::element e) { profile_.name = Text(e); }},
        {"title", [this](dom::element e) { profile_.title = Text(e); }},
        {"notes", [this](dom::element e) { profile_.notes = Text(e); }},
        {"methods", [this](dom::element e) { profile_.methods = Texts(e); }},
        {"secret",
         [this](dom::element e) {
           profile_.secret = Choice<SecretNeed>(
               e,
               {{"required", SecretNeed::kRequired}, {"optional", SecretNeed::kOptional}, {"none", SecretNeed::kNone}});
         }},
        {"signatures", [this](dom::element e) { Each(e, [this](dom::element one) { TakeScheme(one); }); }},
        {"keys", [this](dom::element e) { Each(e, [this](dom::element one) { TakeKeyRule(one); }); }},
        {"body_may_change", [this](dom::element e) { profile_.body_may_change = Flag(e); }},
        {"replay_guard", [this](dom::element e) { TakeGuard(e); }},
        {"type", [this](dom::element e) { profile_.type = Sources(e); }},
        {"labels", [this](dom::element e) { TakeLabels(e); }},
        {"handshakes", [this](dom::element e) { Each(e, [this](dom::element one) { TakeHandshake(one); }); }},
        {"ttl", [this](dom::element e) { profile_.ttl_ms = Duration(e); }},
        {"retry_horizon", [this](dom::element e) { profile_.retry_horizon_ms = Duration(e); }},
        {"in_flight_wait", [this](dom::element e) { profile_.in_flight_wait_ms = Duration(e); }},
        {"connect_retry", [this](dom::element e) { profile_.connect_retry_ms = Duration(e); }},
        {"busy_status", [this](dom::element e) { TakeBusyStatus(e); }},
        {"success", [this](dom::element e) { TakeSuccess(e); }},
        {"empty_refusals", [this](dom::element e) { profile_.empty_refusals = Flag(e); }},
        {"replay_bodies", [this](dom::element e) { profile_.replay_bodies = Flag(e); }},
        {"sample", [this](dom::element e) { TakeSample(e); }},
    };
    Read(root, members);
    CheckWhole();
    return status_;
  }

 private:
  using Members = std::map<std::string_view, std::function<void(dom::element)>>;

  void Fail(const std::string& why) {
    if (status_.ok()) status_ = InvalidArgument(at_.empty() ? why : "'" + at_ + "': " + why);
  }

  void Read(dom::object object, const Members& members) {
    for (const auto [name, value] : object) {
      const auto known = members.find(name);
      const std::string outer = at_;
      at_ = name;
      if (known == members.end()) return Fail("is not known");
      known->second(value);
      if (!status_.ok()) return;
      at_ = outer;
    }
  }
  void ReadObject(dom::element element, const Members& members) {
    dom::object object;
    if (element.get_object().get(object) != simdjson::SUCCESS) return Fail("is not an object");
    Read(object, members);
  }
  void Each(dom::element element, const std::function<void(dom::element)>& take) {
    dom::array array;
    if (element.get_array().get(array) != simdjson::SUCCESS) return Fail("is not an array");
    for (const dom::element one : array) take(one);
  }

  std::string Text(dom::element element) {
    std::string_view text;
    if (element.get_string().get(text) != simdjson::SUCCESS) Fail("is not a string");
    return std::string(text);
  }
  std::vector<std::string> Texts(dom::element element) {
    std::vector<std::string> texts;
    Each(element, [&](dom::element one) { texts.push_back(Text(one)); });
    return texts;
  }
  bool Flag(dom::element element) {
    bool flag = false;
    if (element.get_bool().get(flag) != simdjson::SUCCESS) Fail("is not true or false");
    return flag;
  }
  int64_t Duration(dom::element element) {
    const Result<int64_t> ms = ParseDurationMs(Text(element));
    if (!ms.ok()) Fail(ms.status().message());
    return ms.ok() ? *ms : 0;
  }
  template <typename T>
  T Choice(dom::element element, const std::map<std::string_view, T>& choices) {
    const std::string text = Text(element);
    const auto chosen = choices.find(text);
    if (chosen != choices.end()) return chosen->second;
    Fail("'" + text + "' is none of the choices");
    return choices.begin()->second;
  }
  Source SourceOf(dom::element element) {
    Result<Source> source = ParseSource(Text(element), &profile_.paths);
    if (!source.ok()) Fail(source.status().message());
    return source.ok() ? *std::move(source) : Source();
  }
  std::vector<Source> Sources(dom::element element) {
    std::vector<Source> sources;
    Each(element, [&](dom::element one) { sources.push_back(SourceOf(one)); });
    return sources;
  }
  size_t Path(dom::element element, const std::string& prefix) {
    Result<JsonPath> path = JsonPath::Parse(prefix + Text(element));
    if (path.ok()) return AddPath(*std::move(path), &profile_.paths);
    Fail(path.status().message());
    return 0;
  }

  std::vector<Condition> Conditions(dom::element element) {
    std::vector<Condition> conditions;
    Each(element, [&](dom::element one) {
      Condition condition;
      ReadObject(one, {{"value", [&](dom::element e) { condition.source = SourceOf(e); }},
                       {"in", [&](dom::element e) { condition.in = Texts(e); }},
                       {"only_field", [&](dom::element e) { condition.only_field = Flag(e); }},
                       {"absent", [&](dom::element e) { condition.absent = Flag(e); }}});
      if (condition.absent && (condition.only_field || !condition.in.empty()))
        Fail("a condition with 'absent' has neither 'in' nor 'only_field'");
      conditions.push_back(std::move(condition));
    });
    return conditions;
  }

  void TakeScheme(dom::element element) {
    SignatureScheme scheme;
    ReadObject(
        element,
        {{"scheme",
          [&](dom::element e) {
            scheme.kind = Choice<SchemeKind>(e, {{"template", SchemeKind::kTemplate},
                                                 {"twilio", SchemeKind::kTwilio},
                                                 {"adyen_items", SchemeKind::kAdyenItems},
                                                 {"braintree", SchemeKind::kBraintree},
                                                 {"sns", SchemeKind::kSns},
                                                 {"paypal", SchemeKind::kPaypal}});
          }},
         {"when", [&](dom::element e) { scheme.when = Conditions(e); }},
         {"signature", [&](dom::element e) { scheme.signature = SourceOf(e); }},
         {"format",
          [&](dom::element e) {
            scheme.format = Choice<SignatureFormat>(e, {{"raw", SignatureFormat::kRaw},
                                                        {"prefix", SignatureFormat::kPrefix},
                                                        {"optional_prefix", SignatureFormat::kOptionalPrefix},
                                                        {"member", SignatureFormat::kMember},
                                                        {"list", SignatureFormat::kList}});
          }},
         {"separator", [&](dom::element e) { scheme.separator = Text(e); }},
         {"prefix", [&](dom::element e) { scheme.prefix = Text(e); }},
         {"member", [&](dom::element e) { scheme.prefix = Text(e); }},
         {"encoding",
          [&](dom::element e) {
            scheme.encoding = Choice<SignatureEncoding>(e, {{"hex", SignatureEncoding::kHex},
                                                            {"base64", SignatureEncoding::kBase64},
                                                            {"literal", SignatureEncoding::kLiteral}});
          }},
         {"algorithm",
          [&](dom::element e) {
            scheme.algorithm = Choice<SignatureAlgorithm>(e, {{"hmac-sha1", SignatureAlgorithm::kHmacSha1},
                                                              {"hmac-sha256", SignatureAlgorithm::kHmacSha256},
                                                              {"hmac-sha512", SignatureAlgorithm::kHmacSha512},
                                                              {"sha256", SignatureAlgorithm::kSha256},
                                                              {"equal", SignatureAlgorithm::kEqual},
                                                              {"ed25519", SignatureAlgorithm::kEd25519},
                                                              {"ecdsa-p256-sha256", SignatureAlgorithm::kEcdsaSha256}});
          }},
         {"key",
          [&](dom::element e) { Each(e, [&](dom::element one) { scheme.key_forms.push_back(KeyFormOf(one)); }); }},
         {"signed", [&](dom::element e) { TakeTemplate(e, &scheme); }},
         {"timestamp", [&](dom::element e) { TakeTimestamp(e, &scheme); }}});
    if (scheme.kind == SchemeKind::kTemplate && scheme.key_forms.empty()) Fail("a signature needs 'key'");
    profile_.signatures.push_back(std::move(scheme));
  }

  KeyForm KeyFormOf(dom::element element) {
    return Choice<KeyForm>(element, {{"utf8", KeyForm::kUtf8},
                                     {"html", KeyForm::kHtml},
                                     {"hex", KeyForm::kHex},
                                     {"base64", KeyForm::kBase64},
                                     {"whsec", KeyForm::kWhsec},
                                     {"whpk", KeyForm::kWhpk}});
  }

  void TakeTemplate(dom::element element, SignatureScheme* scheme) {
    Result<std::vector<TemplatePiece>> pieces = ParseTemplate(Text(element), &profile_.paths);
    if (!pieces.ok()) return Fail(pieces.status().message());
    scheme->signed_content = *std::move(pieces);
  }

  void TakeTimestamp(dom::element element, SignatureScheme* scheme) {
    ReadObject(element, {{"value", [&](dom::element e) { scheme->timestamp = SourceOf(e); }},
                         {"member", [&](dom::element e) { scheme->timestamp_member = Text(e); }},
                         {"unit",
                          [&](dom::element e) {
                            scheme->unit = Choice<TimestampUnit>(e, {{"s", TimestampUnit::kSeconds},
                                                                     {"ms", TimestampUnit::kMilliseconds},
                                                                     {"auto", TimestampUnit::kAuto}});
                          }},
                         {"tolerance", [&](dom::element e) { scheme->tolerance_ms = Duration(e); }},
                         {"future_refused", [&](dom::element e) { scheme->future_refused = Flag(e); }}});
  }

  void TakeKeyRule(dom::element element) {
    KeyRule rule;
    ReadObject(element, {{"when", [&](dom::element e) { rule.when = Conditions(e); }},
                         {"parts", [&](dom::element e) { Each(e, [&](dom::element one) { TakePart(one, &rule); }); }},
                         {"items", [&](dom::element e) { TakeItems(e, &rule); }}});
    if (rule.parts.empty() == !rule.items) Fail("a key needs either 'parts' or 'items'");
    profile_.keys.push_back(std::move(rule));
  }

  // "json:/a|json:/b?": alternatives, and whether it may be absent.
  void TakePart(dom::element element, KeyRule* rule) {
    std::string text = Text(element);
    KeyPart part;
    part.optional = text.ends_with('?');
    if (part.optional) text.pop_back();
    std::string_view rest = text;
    while (true) {
      const size_t bar = rest.find('|');
      Result<Source> source = ParseSource(rest.substr(0, bar), &profile_.paths);
      if (!source.ok()) return Fail(source.status().message());
      part.any.push_back(*std::move(source));
      if (bar == std::string_view::npos) break;
      rest.remove_prefix(bar + 1);
    }
    rule->parts.push_back(std::move(part));
  }

  void TakeItems(dom::element element, KeyRule* rule) {
    std::string each;
    dom::element value;
    if (element["each"].get(value) == simdjson::SUCCESS) each = Text(value);
    KeyItems items;
    if (!each.empty()) items.each = Path(value, "");
    ReadObject(
        element,
        {{"each", [](dom::element) {}},
         {"with", [&](dom::element e) { Each(e, [&](dom::element one) { items.with.push_back(Path(one, each)); }); }},
         {"of", [&](dom::element e) { Each(e, [&](dom::element one) { items.of.push_back(Path(one, each)); }); }}});
    if (items.with.empty() && items.of.empty()) Fail("needs 'with' or 'of'");
    rule->items = std::move(items);
  }

  void TakeGuard(dom::element element) {
    ReplayGuard guard;
    ReadObject(element, {{"of", [&](dom::element e) { guard.of = Sources(e); }},
                         {"unless", [&](dom::element e) { guard.unless = Conditions(e); }}});
    profile_.replay_guard = std::move(guard);
  }

  void TakeLabels(dom::element element) {
    dom::object object;
    if (element.get_object().get(object) != simdjson::SUCCESS) return Fail("is not an object");
    for (const auto [name, value] : object) {
      if (!IsValidScope(name)) return Fail("'" + std::string(name) + "' is no name of a label");
      profile_.labels.emplace_back(name, SourceOf(value));
    }
  }

  void TakeHandshake(dom::element element) {
    Handshake handshake;
    ReadObject(element, {{"when", [&](dom::element e) { handshake.when = Conditions(e); }},
                         {"unsigned", [&](dom::element e) { handshake.is_unsigned = Flag(e); }}});
    if (handshake.when.empty()) Fail("a handshake needs 'when'");
    profile_.handshakes.push_back(std::move(handshake));
  }

  void TakeBusyStatus(dom::element element) {
    int64_t status = 0;
    if (element.get_int64().get(status) != simdjson::SUCCESS || status < 400 || status > 599)
      return Fail("is not a status from 400 to 599");
    profile_.busy_status = static_cast<int>(status);
  }

  void TakeSuccess(dom::element element) {
    profile_.success_text = Text(element);
    const Result<StatusSet> set = StatusSet::Parse(profile_.success_text);
    if (!set.ok()) return Fail(set.status().message());
    profile_.success = *set;
  }

  void TakeSample(dom::element element) {
    ProfileSample sample;
    const auto pairs = [this](dom::element e, std::vector<std::pair<std::string, std::string>>* out) {
      dom::object object;
      if (e.get_object().get(object) != simdjson::SUCCESS) return Fail("is not an object");
      for (const auto [name, value] : object) out->emplace_back(name, Text(value));
    };
    ReadObject(element, {{"secret", [&](dom::element e) { sample.secret = Text(e); }},
                         {"target", [&](dom::element e) { sample.target = Text(e); }},
                         {"headers", [&](dom::element e) { pairs(e, &sample.headers); }},
                         {"body", [&](dom::element e) { sample.body = Text(e); }},
                         {"retry_edits", [&](dom::element e) { pairs(e, &sample.retry_edits); }},
                         {"key", [&](dom::element e) { sample.key = Text(e); }},
                         {"other_key", [&](dom::element e) { sample.other_key = Text(e); }}});
    profile_.sample = std::move(sample);
  }

  void CheckWhole() {
    at_.clear();
    if (!status_.ok()) return;
    if (!IsValidScope(profile_.name)) return Fail("'name' is missing or holds other characters than A-Z a-z 0-9 . _ -");
    if (profile_.signatures.empty() != (profile_.secret == SecretNeed::kNone))
      return Fail("'signatures' are needed unless 'secret' is none");
    if (profile_.keys.empty()) return Fail("'keys' is missing");
    if (profile_.ttl_ms <= 0 || profile_.retry_horizon_ms <= 0 || profile_.in_flight_wait_ms <= 0)
      return Fail("'ttl', 'retry_horizon' and 'in_flight_wait' are needed");
    if (profile_.ttl_ms <= profile_.retry_horizon_ms) return Fail("'ttl' is not longer than 'retry_horizon'");
    if (profile_.connect_retry_ms > kConnectRetryMsMax) return Fail("'connect_retry' is longer than 1m");
    if (profile_.success_text.empty()) return Fail("'success' is missing");
    if (profile_.methods.empty()) return Fail("'methods' is empty");
  }

  Profile& profile_;
  std::string at_;
  Status status_;
};

}  // namespace

Result<Profile> ParseProfile(std::string_view json) {
  if (json.size() > kProfileBytesMax) return InvalidArgument("a profile may have at most 64 KiB");
  dom::parser parser;
  dom::object root;
  if (parser.parse(simdjson::padded_string(json)).get_object().get(root) != simdjson::SUCCESS)
    return InvalidArgument("it is not a JSON object");
  Profile profile;
  if (Status status = ProfileParser(&profile).Parse(root); !status.ok()) return status;
  profile.json = json;
  return profile;
}

}  // namespace oncegate

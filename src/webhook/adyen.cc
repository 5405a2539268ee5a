// Adyen's classic notifications: each item of the JSON body carries the HMAC of eight of its values.

#include <algorithm>
#include <array>
#include <map>

#include "webhook/scheme.h"

namespace oncegate {
namespace {

constexpr std::string_view kItem = "/notificationItems/*/NotificationRequestItem";
constexpr size_t kPlainValues = 4;  // before the amount

struct Item {
  std::array<std::string, 8> values;  // absent ones are empty
  std::string signature;
};

void Take(const JsonMatches& matches, size_t first, std::map<std::vector<uint32_t>, Item>* items) {
  for (const JsonMatch& match : matches) {
    const auto item = items->find(match.at);
    if (item == items->end()) continue;
    for (size_t i = 0; i < match.values.size(); ++i) item->second.values[first + i] = match.values[i].value_or("");
  }
}

}  // namespace

SignatureVerdict VerifyAdyenItems(const CompiledScheme& scheme, RequestReader& request) {
  const std::string item(kItem);
  const std::vector<JsonPath> paths{
      *JsonPath::Parse(item),
      *JsonPath::Parse(item + "/{pspReference,originalReference,merchantAccountCode,merchantReference}"),
      *JsonPath::Parse(item + "/amount/{value,currency}"), *JsonPath::Parse(item + "/{eventCode,success}"),
      *JsonPath::Parse(item + "/additionalData/{hmacSignature}")};
  const auto found = FindJson(request.request().body, paths);
  if (!found || (*found)[0].empty())
    return Refusal(SignatureReason::kMissing,
                   "there is no header HmacSignature, and no notificationItems in the body that are signed one by one");
  std::map<std::vector<uint32_t>, Item> items;
  for (const JsonMatch& match : (*found)[0]) items.try_emplace(match.at);
  Take((*found)[1], 0, &items);
  Take((*found)[2], kPlainValues, &items);
  Take((*found)[3], kPlainValues + 2, &items);
  for (const JsonMatch& match : (*found)[4]) items.at(match.at).signature = match.values[0].value_or("");

  for (const auto& [at, one] : items) {
    if (one.signature.empty()) return Refusal(SignatureReason::kMissing, "an item has no additionalData.hmacSignature");
    const std::optional<std::string> mac = DecodeBase64(one.signature);
    if (!mac) return Refusal(SignatureReason::kMalformed, "additionalData.hmacSignature is not base64");
    Pieces pieces;
    for (const std::string& value : one.values) {
      if (!pieces.empty()) pieces.emplace_back(":");
      pieces.emplace_back(value);
    }
    if (!AnyMac(scheme.hmac_keys, pieces, *mac))
      return Refusal(SignatureReason::kMismatch, "the signature of an item is not one that these secrets make of it");
  }
  return Acceptance();
}

}  // namespace oncegate

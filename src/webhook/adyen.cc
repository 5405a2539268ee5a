// Adyen's classic notifications: each item of the JSON body carries the HMAC of eight of its values.

#include <algorithm>
#include <array>
#include <map>

#include "webhook/scheme.h"

namespace oncegate {
namespace {

constexpr std::string_view kItem = "/notificationItems/*/NotificationRequestItem";
constexpr size_t kPlainValues = 4;  // before the amount
constexpr size_t kMerchantReference = 3;
constexpr std::array<std::string_view, 13> kMembers{"notificationItems",
                                                    "NotificationRequestItem",
                                                    "pspReference",
                                                    "originalReference",
                                                    "merchantAccountCode",
                                                    "merchantReference",
                                                    "amount",
                                                    "value",
                                                    "currency",
                                                    "eventCode",
                                                    "success",
                                                    "additionalData",
                                                    "hmacSignature"};

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
      *JsonPath::Parse(item + "/amount/{value,currency}"),
      *JsonPath::Parse(item + "/{eventCode,success}"),
      *JsonPath::Parse(item + "/additionalData/{hmacSignature}"),
      *JsonPath::Parse("/notificationItems/*")};
  const auto found = FindJson(request.request().body, paths);
  if (!found || (*found)[0].empty())
    return Refusal(SignatureReason::kMissing,
                   "there is no header HmacSignature, and no notificationItems in the body that are signed one by one");
  if (RepeatsMember(request.request().body, kMembers))
    return Refusal(SignatureReason::kMalformed, "the body has a member twice, of which only one can be signed");
  if ((*found)[0].size() != (*found)[5].size())
    return Refusal(SignatureReason::kMissing, "notificationItems holds something else than signed items");
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
    for (size_t i = 0; i < one.values.size(); ++i) {
      // What divides the values may stand in one of them only, or else it would not be known where the others end.
      if (i != kMerchantReference && one.values[i].find(':') != std::string::npos)
        return Refusal(SignatureReason::kMalformed, "a signed value holds the character that ends it");
      if (i > 0) pieces.emplace_back(":");
      pieces.emplace_back(one.values[i]);
    }
    if (!AnyMac(scheme.hmac_keys, pieces, *mac))
      return Refusal(SignatureReason::kMismatch, "the signature of an item is not one that these secrets make of it");
  }
  return Acceptance();
}

}  // namespace oncegate

// Keys, scopes, types and fingerprints, out of whole requests: a head, an empty line, a body.

#include <string>
#include <string_view>
#include <utility>

#include "base/byte_budget.h"
#include "core/fingerprint.h"
#include "core/key.h"
#include "gateway/exchange.h"
#include "gateway/identify.h"
#include "tests/fuzz/fuzzing.h"

namespace oncegate {
namespace {

Route RouteWithPointers() {
  Route route;
  route.key_pointers = {*JsonPointer::Parse("/id"), *JsonPointer::Parse("/data/object/id")};
  route.type_pointer = *JsonPointer::Parse("/type");
  route.type_header = "X-Type";
  route.labels = {{"order", *JsonPointer::Parse("/order/0")}};
  route.scope_header = "Authorization";
  return route;
}

void CheckIdentity(const Route& route, const InboundRequest& request) {
  const Result<Identity> identity = Identify(route, request.head.fields, request.body);
  const Result<Identity> again = Identify(route, request.head.fields, request.body);
  Require(identity.ok() == again.ok());
  if (!identity.ok()) return Require(!identity.status().message().empty());
  Require(identity->key == again->key && identity->scope == again->scope && identity->type == again->type);
  Require(identity->key.size() <= kKeyBytesMax);
  for (const char c : identity->key) Require(c > 0x20 && c < 0x7f);
  Require(!identity->type.empty() && identity->type.size() <= kTypeBytesMax);
  for (const auto& [name, value] : identity->labels) Require(value.size() <= kLabelBytesMax);
}

// Bytes that move from one part to the next make another request.
void CheckFingerprint(std::string_view target, std::string_view body) {
  const Fingerprint print = MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", target, body});
  Require(print == MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", target, body}));
  if (body.empty()) return;
  const std::string longer = std::string(target) + body.front();
  Require(!(print == MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", longer, body.substr(1)})));
}

}  // namespace
}  // namespace oncegate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace oncegate;
  static const Route plain;
  static const Route pointed = RouteWithPointers();
  const std::string_view input = InputText(data, size);
  ByteBudget memory(int64_t{1} << 30);
  InboundRequest request{.memory = BudgetShare(memory)};
  http::HeadParser parser;
  if (parser.ParseRequest(input, &request.head) != http::ParseState::kDone) return 0;
  request.body = input.substr(parser.consumed());
  CheckIdentity(plain, request);
  CheckIdentity(pointed, request);
  CheckFingerprint(request.head.target, request.body);
  return 0;
}

// Heads of requests and responses. The first byte says where the input is split.

#include <algorithm>
#include <string>
#include <string_view>

#include "http/chars.h"
#include "http/head.h"
#include "ingress/client_address.h"
#include "tests/fuzz/fuzzing.h"

namespace oncegate {
namespace {

using http::ParseState;

void CheckFields(const http::Fields& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    const http::Field field = fields[i];
    Require(!field.name.empty());
    Require(http::SpanOf(field.name, http::kTokenChar) == field.name.size());
    for (const char c : field.value) Require(!http::HasClass(c, http::kControlChar));
    Require(field.value == http::TrimSpaces(field.value));
    Require(fields.Count(field.name) > 0);
    http::IsHopByHop(field.name, fields);
  }
}

struct Parsed {
  ParseState state = ParseState::kNeedMore;
  size_t consumed = 0;
  http::RequestHead head;
};

Parsed ParseAt(std::string_view input, size_t split) {
  Parsed parsed;
  http::HeadParser parser;
  parsed.state = parser.ParseRequest(input.substr(0, split), &parsed.head);
  if (parsed.state == ParseState::kNeedMore) parsed.state = parser.ParseRequest(input, &parsed.head);
  parsed.consumed = parser.consumed();
  if (parsed.state == ParseState::kError) Require(!parser.error().detail.empty());
  return parsed;
}

void CheckRequest(std::string_view input, size_t split) {
  const Parsed whole = ParseAt(input, input.size());
  const Parsed parts = ParseAt(input, split);
  Require(whole.state == parts.state && whole.consumed == parts.consumed);
  if (whole.state != ParseState::kDone) return;
  const http::RequestHead& head = whole.head;
  Require(whole.consumed <= input.size() && whole.consumed <= http::kHeadBytesMax);
  Require(head.method == parts.head.method && head.target == parts.head.target);
  Require(head.target == "*" || head.target.starts_with('/'));
  Require(http::SpanOf(head.target, http::kTargetChar) == head.target.size());
  Require(head.fields.size() <= http::kFieldsMax && head.fields.size() == parts.head.fields.size());
  Require(head.framing != http::Framing::kUntilClose);
  Require(head.framing != http::Framing::kChunked || head.content_length == 0);
  CheckFields(head.fields);
  const AddressRanges trusted = {*AddressRange::Parse("10.0.0.0/8")};
  const IpAddress peer = *IpAddress::Parse("10.0.0.1");
  Require(IpAddress::Parse(ClientBehind(peer, head.fields, trusted).Text()).has_value());
}

void CheckResponse(std::string_view input) {
  for (const std::string_view method : {"POST", "HEAD"}) {
    http::HeadParser parser;
    http::ResponseHead head;
    if (parser.ParseResponse(input, method, &head) != ParseState::kDone) continue;
    Require(parser.consumed() <= input.size());
    Require(head.status >= 100 && head.status <= 599);
    Require(head.fields.size() <= http::kResponseFieldsMax);
    CheckFields(head.fields);
  }
}

}  // namespace
}  // namespace oncegate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input = oncegate::InputText(data, size);
  if (input.empty()) return 0;
  const size_t split = data[0] % input.size();
  input.remove_prefix(1);
  oncegate::CheckRequest(input, std::min(split, input.size()));
  oncegate::CheckResponse(input);
  return 0;
}

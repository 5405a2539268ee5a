// JSON pointers: two lines with one each, then the body.

#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "core/key.h"
#include "tests/fuzz/fuzzing.h"
#include "webhook/json_pointer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace oncegate;
  std::string_view body = InputText(data, size);
  std::vector<JsonPointer> pointers;
  for (int i = 0; i < 2; ++i) {
    const Result<JsonPointer> pointer = JsonPointer::Parse(TakeLine(&body));
    if (!pointer.ok()) return 0;
    pointers.push_back(*pointer);
  }
  const auto values = ExtractJson(body, pointers);
  Require(values.size() == pointers.size());
  // A parser is kept for the thread: what it read before must not show.
  Require(ExtractJson("{\"a\":1}", pointers).size() == pointers.size());
  Require(ExtractJson(body, pointers) == values);
  std::vector<std::string> parts;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i]) continue;
    Require(ExtractJson(body, {&pointers[i], 1}).front() == values[i]);
    parts.push_back(*values[i]);
  }
  if (parts.empty()) return 0;
  const std::string key = KeyFromParts(parts);
  Require(key.size() <= kKeyBytesMax);
  Require(key == KeyFromParts(parts));
  return 0;
}

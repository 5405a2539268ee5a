#include "webhook/json_pointer.h"

#include <simdjson.h>

#include <mutex>

#include "webhook/json_number.h"
#include "webhook/json_path.h"

namespace oncegate {
namespace {

// One a thread: a parser keeps its buffers, and making one costs more than parsing a small webhook.
struct Parsers {
  simdjson::dom::parser whole;
  simdjson::ondemand::parser lazy;
};

std::optional<std::string> ScalarAt(simdjson::ondemand::document& document, const JsonPointer& pointer) {
  simdjson::ondemand::value value;
  if (document.at_pointer(pointer.text()).get(value) != simdjson::SUCCESS) return std::nullopt;
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return std::nullopt;
  if (type == simdjson::ondemand::json_type::number) {
    const std::string_view number = TrimJsonSpace(value.raw_json_token());
    return IsJsonNumber(number) ? std::optional(std::string(number)) : std::nullopt;
  }
  if (type != simdjson::ondemand::json_type::string) return std::nullopt;
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  return std::string(text);
}

std::vector<std::optional<std::string>> Extract(std::string_view body, std::span<const JsonPointer> pointers,
                                                Parsers& parsers) {
  std::vector<std::optional<std::string>> values(pointers.size());
  const simdjson::padded_string padded(body);
  // The lazy parser would stop at the value and never see that the rest is broken, where the application's parser will.
  // It cannot hold numbers beyond 64 bits, which are valid JSON.
  simdjson::dom::element whole;
  if (parsers.whole.parse(padded).get(whole) != simdjson::SUCCESS && !IsJsonWithLargeNumbers(body)) return values;
  simdjson::ondemand::document document;
  if (parsers.lazy.iterate(padded).get(document) != simdjson::SUCCESS) return values;
  for (size_t i = 0; i < pointers.size(); ++i) {
    document.rewind();
    values[i] = ScalarAt(document, pointers[i]);
    // It met what is not JSON, and has let go of its parser: going on with it would be a crash. A body that is broken
    // has no values at all.
    if (!document.is_alive()) return std::vector<std::optional<std::string>>(pointers.size());
  }
  return values;
}

}  // namespace

Result<JsonPointer> JsonPointer::Parse(std::string_view text) {
  if (text.empty() || text.front() != '/')
    return InvalidArgument("'" + std::string(text) + "' is not a JSON pointer; one begins with '/', like /data/id");
  if (text.size() > kBytesMax) return InvalidArgument("a JSON pointer may have at most 512 characters");
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '~' && (i + 1 == text.size() || (text[i + 1] != '0' && text[i + 1] != '1')))
      return InvalidArgument("'" + std::string(text) + "': in a JSON pointer '~' stands only before 0 or 1");
  }
  return JsonPointer(std::string(text));
}

std::vector<std::optional<std::string>> ExtractJson(std::string_view body, std::span<const JsonPointer> pointers) {
  if (pointers.empty() || body.empty()) return std::vector<std::optional<std::string>>(pointers.size());
  if (body.size() <= kKeptParserBytesMax) {
    thread_local Parsers parsers;
    return Extract(body, pointers, parsers);
  }
  // A parser's buffers are many times as large as its text. For large bodies they exist once, and not for long.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  Parsers parsers;
  return Extract(body, pointers, parsers);
}

}  // namespace oncegate

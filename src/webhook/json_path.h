#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace oncegate {

// A JSON pointer (RFC 6901) in which "*" stands for every element of an array or member of an object, and whose last
// part may name several members at once: "/entry/*/changes/*/value/statuses/*/{id,status}". A member whose name ends
// with '?' in the braces may be absent. Immutable.
class JsonPath {
 public:
  static constexpr size_t kBytesMax = 512;
  static constexpr size_t kPartsMax = 32;

  struct Member {
    std::string name;
    bool optional = false;
  };

  // InvalidArgument, with a message that quotes `text`, for anything else.
  static Result<JsonPath> Parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  // Unescaped; an empty optional is "*".
  [[nodiscard]] const std::vector<std::optional<std::string>>& parts() const { return parts_; }
  [[nodiscard]] const std::vector<Member>& members() const { return members_; }  // empty: the value itself

 private:
  std::string text_;
  std::vector<std::optional<std::string>> parts_;
  std::vector<Member> members_;
};

// One place that a path leads to.
struct JsonMatch {
  std::vector<uint32_t> at;  // which element each "*" stands for
  // The value, or one for each member: strings unescaped, numbers as they are written, "true" and "false". Nothing
  // where there is an object, an array or null, or where the member is absent.
  std::vector<std::optional<std::string>> values;
};

using JsonMatches = std::vector<JsonMatch>;  // in the order of the text

inline constexpr size_t kJsonMatchesMax = 10'000;  // of one path in one text

// Where each path leads in `text`, all found with one reading. Nothing if `text` is not one valid JSON text (RFC 8259),
// or if a path has more than kJsonMatchesMax matches. Of members that are repeated in an object the first counts.
// Thread-safe; keeps one parser a thread.
std::optional<std::vector<JsonMatches>> FindJson(std::string_view text, std::span<const JsonPath> paths);

// Whether `text` is one JSON text, numbers beyond 64 bits included: for what a parser that cannot hold them has
// refused.
bool IsJsonWithLargeNumbers(std::string_view text);

// Whether an object anywhere in `text` has one of these members twice, in whatever case: parsers differ in which of
// them they take, so that a signature over values says nothing of what the application reads. True also if it cannot be
// told.
bool RepeatsMember(std::string_view text, std::span<const std::string_view> names);

// Replaces the values that the paths lead to, repeated members included, with kRedacted; all other bytes stay. Nothing
// if `text` is not valid JSON; `*replaced` says whether there was anything to replace.
std::optional<std::string> RedactJson(std::string_view text, std::span<const JsonPath> paths, bool* replaced);

}  // namespace oncegate

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace oncegate {

// An RFC 6901 pointer into a JSON body ("/data/object/id"). Immutable.
class JsonPointer {
 public:
  static constexpr size_t kBytesMax = 512;

  // InvalidArgument unless `text` begins with '/', is at most kBytesMax long, and every '~' is followed by 0 or 1.
  static Result<JsonPointer> Parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  explicit JsonPointer(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// The values that the pointers name in `body`, in their order: strings unescaped, numbers as they are written. Absent:
// where the pointer leads nowhere, to an object, array, boolean or null, and all of them if the body is not one valid
// JSON text (RFC 8259). Thread-safe; keeps one parser a thread.
std::vector<std::optional<std::string>> ExtractJson(std::string_view body, std::span<const JsonPointer> pointers);

}  // namespace oncegate

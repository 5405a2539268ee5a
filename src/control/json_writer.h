#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace oncegate::control {

// Whether `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF).
bool IsUtf8(std::string_view text);

// RFC 4648 section 4, with padding.
std::string Base64(std::string_view bytes);

// Builds one JSON text (RFC 8259) from the outside in; the caller keeps Begin and End, Name and value in pairs. What
// comes out is valid UTF-8 whatever goes in. Not thread-safe.
class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }

  // The name of the member whose value comes next.
  JsonWriter& Name(std::string_view name);

  // Bytes that are not UTF-8 become U+FFFD.
  JsonWriter& String(std::string_view text);
  JsonWriter& Int(int64_t value);
  JsonWriter& Uint(uint64_t value);
  // The shortest form that reads back as the same number. REQUIRES: finite.
  JsonWriter& Double(double value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();

  // A string, or null where it is empty.
  JsonWriter& StringOrNull(std::string_view text) { return text.empty() ? Null() : String(text); }
  // RFC 3339, or null where `unix_ms` is `absent`.
  JsonWriter& TimeOrNull(int64_t unix_ms, int64_t absent);
  // The member "body" with these bytes as they are, or "body_base64" if they are not UTF-8.
  JsonWriter& Body(std::string_view bytes);

  [[nodiscard]] const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Close(char bracket);
  JsonWriter& Raw(std::string_view value);

  std::string text_;
  bool needs_comma_ = false;
};

}  // namespace oncegate::control

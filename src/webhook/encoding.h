#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oncegate {

// RFC 4648 section 4. Padding may be left out; other characters, and unused bits that are not zero, give nothing.
std::optional<std::string> DecodeBase64(std::string_view text);

// Percent-encoded octets decoded, and '+' as a space if `plus_is_space` (HTML forms). What is no valid escape stays.
std::string DecodePercent(std::string_view text, bool plus_is_space);

// The five characters that HTML escapes, unescaped (&amp; &lt; &gt; &quot; &#039;).
std::string DecodeHtml(std::string_view text);

struct FormField {
  std::string name;
  std::string value;
};

inline constexpr size_t kFormFieldsMax = 1000;

// The fields of an application/x-www-form-urlencoded text (a form body or a query), in order. Nothing beyond
// kFormFieldsMax fields.
std::optional<std::vector<FormField>> ParseForm(std::string_view text);

// `text`, a form or a query, with the values of fields of these names replaced. Nothing was replaced: nothing.
std::optional<std::string> RedactForm(std::string_view text, const std::vector<std::string>& names);

// What stands in the place of a redacted value.
inline constexpr std::string_view kRedacted = "[redacted]";

}  // namespace oncegate

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "webhook/encoding.h"
#include "webhook/json_path.h"

namespace oncegate {

struct HeaderLine {
  std::string_view name;
  std::string_view value;
};

// A whole request, as far as profiles look at it. Views: whoever makes one keeps the bytes.
struct WebhookRequest {
  std::string_view method;
  std::string_view target;  // path and query as received
  std::string_view url;     // the address that the sender used: scheme, host, path, query; no fragment
  std::span<const HeaderLine> headers;
  std::string_view body;
};

// The address that a sender used for a request with this target. `public_url` is what the operator says (empty: it is
// rebuilt from scheme and host). A public URL that names a path stands as it is; the request's own query takes the
// place of its query; one without a path gets the target's.
std::string SenderUrl(std::string_view public_url, std::string_view scheme, std::string_view host,
                      std::string_view target);

// Where in a request a value is.
struct Source {
  enum class Kind : uint8_t { kHeader, kJson, kForm, kQuery, kFormJson, kBody, kSigned };
  Kind kind = Kind::kHeader;
  std::string name;                // of the header or field
  size_t json = 0;                 // kJson: which of the profile's paths
  std::optional<JsonPath> inside;  // kFormJson: the path in the field's value
  bool decode_percent = false;
};

// Reads values out of one request; what is parsed is parsed once, when it is first asked for. Not thread-safe.
class RequestReader {
 public:
  // Both outlive the reader.
  RequestReader(const WebhookRequest& request, std::span<const JsonPath> paths) : request_(request), paths_(paths) {}

  [[nodiscard]] const WebhookRequest& request() const { return request_; }

  // The value of the first header of that name; all of them, for names that end with "-*" those that end with a number.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view name) const;
  [[nodiscard]] std::vector<std::string_view> Headers(std::string_view name) const;

  // Null: the body is not JSON.
  const JsonMatches* Json(size_t path);
  // Null: too many fields.
  const std::vector<FormField>* Form();
  const std::vector<FormField>* Query();

  // Absent, or empty: nothing. Of repeated fields the first counts. kSigned is not known here: nothing.
  std::optional<std::string> Value(const Source& source);

 private:
  const WebhookRequest& request_;
  const std::span<const JsonPath> paths_;
  bool json_read_ = false;
  std::optional<std::vector<JsonMatches>> json_;
  bool form_read_ = false;
  std::optional<std::vector<FormField>> form_;
  bool query_read_ = false;
  std::optional<std::vector<FormField>> query_;
};

bool SameName(std::string_view a, std::string_view b);  // of headers: ASCII case does not matter

}  // namespace oncegate

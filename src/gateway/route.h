#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/policy.h"
#include "webhook/json_path.h"
#include "webhook/json_pointer.h"

namespace oncegate {

class Upstream;
struct ProviderRoute;

inline constexpr size_t kRoutePrefixBytesMax = 255;

// What is done with the requests of one application: where keys come from and which policies hold. Immutable once in
// use; a request keeps the Route that was in force when it arrived.
struct Route {
  std::string name;    // of several; empty: the only one
  std::string prefix;  // of the paths that take it (ParseRoutePrefix); empty: all
  std::string scope = "default";
  bool shared_scope = false;  // another route may have the same
  std::string scope_header;   // empty: the scope is `scope` alone
  Dedupe dedupe = Dedupe::kOn;

  std::vector<std::string> key_headers{"X-Idempotency-Key", "Idempotency-Key"};
  std::vector<JsonPointer> key_pointers;
  std::vector<std::string> methods{"POST", "PATCH"};

  std::string type = "webhook";
  std::string type_header;
  std::optional<JsonPointer> type_pointer;
  std::vector<std::pair<std::string, JsonPointer>> labels;

  int64_t ttl_ms = 86'400'000;
  MissingKeyPolicy on_missing_key = MissingKeyPolicy::kPass;
  MismatchPolicy on_mismatch = MismatchPolicy::kReject;
  InFlightPolicy on_in_flight = InFlightPolicy::kWait;
  int64_t in_flight_wait_ms = 5000;
  UnknownPolicy on_unknown = UnknownPolicy::kHold;
  StoreErrorPolicy on_store_error = StoreErrorPolicy::kReject;
  StatusSet final_status = StatusSet::DefaultFinal(Mode::kWebhook);
  StatusSet unknown_status;
  int busy_status = 409;

  std::shared_ptr<Upstream> upstream;  // null: the gateway's own
  std::string upstream_prefix;         // put before the request's target
  std::string upstream_authority;      // the Host of requests that came without one
  int64_t upstream_timeout_ms = 120'000;
  int64_t connect_retry_ms = 0;  // deliveries: how long connecting is tried again
  int64_t max_stored_body = 1 << 20;
  bool store_request_body = true;
  // What is replaced before a request is stored: values of a JSON body, fields of a form or query.
  std::vector<JsonPath> redact_paths;
  std::vector<std::string> redact_fields;

  std::shared_ptr<const ProviderRoute> provider;  // null: requests are of no known provider
};

inline constexpr size_t kTypeBytesMax = 128;
inline constexpr size_t kLabelBytesMax = 255;
inline constexpr size_t kLabelsMax = 16;

}  // namespace oncegate

#pragma once

#include <cstdint>
#include <string>

namespace oncegate::scale {

// A webhook, what the application answered to it, and how long that is remembered. Bodies are JSON of some 400 and 600
// bytes, as different from each other as those of real orders: identifiers, names, amounts and addresses vary, the
// fields and their order do not.
struct Delivery {
  std::string key;  // 30 to 60 characters
  std::string type;
  int64_t ttl_ms = 0;
  std::string request_fields;
  std::string request_body;
  std::string response_head;
  std::string response_body;

  [[nodiscard]] size_t PayloadBytes() const { return request_body.size() + response_body.size(); }
  // As a sender writes it.
  [[nodiscard]] std::string Request() const;
};

inline constexpr const char* kTarget = "/webhooks/orders";

// The delivery with this number: always the same.
Delivery DeliveryOf(uint64_t number);

// The longest time that any of them is remembered.
inline constexpr int64_t kTtlMsMax = 7LL * 24 * 3'600'000;

}  // namespace oncegate::scale

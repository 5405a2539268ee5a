#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http/head.h"

namespace oncegate {

// An IPv4 or IPv6 address; IPv4 in its mapped form (::ffff:192.0.2.7).
class IpAddress {
 public:
  using Bytes = std::array<uint8_t, 16>;

  IpAddress() = default;  // ::
  explicit IpAddress(const Bytes& bytes) : bytes_(bytes) {}

  // "192.0.2.7" or "2001:db8::1", without brackets and port. Nothing for anything else.
  static std::optional<IpAddress> Parse(std::string_view text);

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] bool is_v4() const;
  // An IPv4 address in its own form.
  [[nodiscard]] std::string Text() const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  Bytes bytes_{};
};

// Addresses that begin with the same bits.
class AddressRange {
 public:
  // "10.0.0.0/8", "2001:db8::/32", or a single address. InvalidArgument says what would be right; bits behind the
  // prefix are refused, because a slip there trusts a whole network.
  static Result<AddressRange> Parse(const std::string& text);

  [[nodiscard]] bool Contains(const IpAddress& address) const;

 private:
  AddressRange(const IpAddress& first, int bits) : first_(first), bits_(bits) {}

  IpAddress first_;
  int bits_;  // of the 128, mapped prefix included
};

using AddressRanges = std::vector<AddressRange>;
bool ContainsAddress(const AddressRanges& ranges, const IpAddress& address);

// Who sent a request that came over the trusted proxy `peer`: the last address in X-Forwarded-For or Forwarded that is
// not a trusted proxy's own. `peer` itself where neither says, and where the two name different clients: a proxy writes
// one of them and may pass on the other as the client made it up.
IpAddress ClientBehind(const IpAddress& peer, const http::Fields& fields, const AddressRanges& trusted);

// Whether `client`, as ClientBehind found it, came to the outermost trusted proxy over TLS: the element of
// X-Forwarded-Proto, or without that the proto of Forwarded, that stands where the client does. Nothing: none says.
std::optional<bool> ClientUsedTls(const IpAddress& client, const http::Fields& fields, const AddressRanges& trusted);

}  // namespace oncegate

#include "ingress/client_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "http/chars.h"

namespace oncegate {
namespace {

constexpr IpAddress::Bytes kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr size_t kMappedBytes = 12;
constexpr int kMappedBits = 96;
constexpr int kBits = 128;

constexpr std::string_view kForwardedFor = "X-Forwarded-For";
constexpr std::string_view kForwardedProto = "X-Forwarded-Proto";
constexpr std::string_view kForwarded = "Forwarded";

bool BitAt(const IpAddress::Bytes& bytes, int bit) {
  return (bytes[static_cast<size_t>(bit / 8)] >> (7 - bit % 8) & 1) != 0;
}

// "192.0.2.7", "192.0.2.7:80", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80". What is no address ("unknown",
// "_hidden") is nothing.
std::optional<IpAddress> ParseNode(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    return end == std::string_view::npos ? std::nullopt : IpAddress::Parse(text.substr(1, end - 1));
  }
  if (std::count(text.begin(), text.end(), ':') == 1) text = text.substr(0, text.find(':'));
  return IpAddress::Parse(text);
}

// The value of "for=" or "proto=" in one element of Forwarded: for=192.0.2.7;proto=https, for="[2001:db8::1]:80".
std::string_view ValueIn(std::string_view element, std::string_view name) {
  while (!element.empty()) {
    const size_t end = std::min(element.find(';'), element.size());
    std::string_view pair = http::TrimSpaces(element.substr(0, end));
    element.remove_prefix(std::min(end + 1, element.size()));
    if (pair.size() < name.size() || !http::EqualsIgnoreCase(pair.substr(0, name.size()), name)) continue;
    pair.remove_prefix(name.size());
    if (pair.size() >= 2 && pair.front() == '"' && pair.back() == '"') pair = pair.substr(1, pair.size() - 2);
    return pair;
  }
  return {};
}

// Shows the elements of all fields of that name, from the last to the first, until `visit` is content. Quotes are not
// looked at: a client's unfinished one must not swallow what the proxy put behind it.
template <typename Visit>
void VisitFromLast(const http::Fields& fields, std::string_view name, const Visit& visit) {
  for (size_t i = fields.size(); i-- > 0;) {
    if (!http::EqualsIgnoreCase(fields[i].name, name)) continue;
    std::string_view list = fields[i].value;
    for (bool more = true; more;) {
      const size_t comma = list.rfind(',');
      more = comma != std::string_view::npos;
      if (visit(http::TrimSpaces(more ? list.substr(comma + 1) : list))) return;
      if (more) list = list.substr(0, comma);
    }
  }
}

// What the trusted proxies have written into a list.
struct Trail {
  std::optional<IpAddress> client;  // the last address that is not a proxy's, or else the first that is
  std::string_view element;         // the first that a trusted proxy wrote
  size_t elements = 0;              // so many
};

Trail TrailIn(const http::Fields& fields, std::string_view name, const AddressRanges& trusted) {
  Trail trail;
  VisitFromLast(fields, name, [&](std::string_view element) {
    trail.element = element;
    ++trail.elements;
    const std::optional<IpAddress> node = ParseNode(name == kForwarded ? ValueIn(element, "for=") : element);
    if (node) trail.client = node;
    return !node || !ContainsAddress(trusted, *node);
  });
  return trail;
}

std::optional<bool> IsTls(std::string_view scheme) {
  if (http::EqualsIgnoreCase(scheme, "https")) return true;
  if (http::EqualsIgnoreCase(scheme, "http")) return false;
  return std::nullopt;
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.empty() || text.size() >= terminated.size()) return std::nullopt;
  std::memcpy(terminated.data(), text.data(), text.size());
  Bytes bytes = kMappedPrefix;
  if (inet_pton(AF_INET, terminated.data(), &bytes[kMappedBytes]) == 1) return IpAddress(bytes);
  if (inet_pton(AF_INET6, terminated.data(), bytes.data()) == 1) return IpAddress(bytes);
  return std::nullopt;
}

bool IpAddress::is_v4() const {
  return std::equal(bytes_.begin(), bytes_.begin() + kMappedBytes, kMappedPrefix.begin());
}

std::string IpAddress::Text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4()) {
    inet_ntop(AF_INET, &bytes_[kMappedBytes], text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  }
  return text.data();
}

Result<AddressRange> AddressRange::Parse(const std::string& text) {
  const std::string wanted = "'" + text + "' is not an address or a network such as 10.0.0.0/8 or 2001:db8::/32";
  const size_t slash = text.find('/');
  const std::optional<IpAddress> first = IpAddress::Parse(std::string_view(text).substr(0, slash));
  if (!first) return InvalidArgument(wanted);
  const int skipped = first->is_v4() ? kMappedBits : 0;
  int bits = kBits - skipped;
  if (slash != std::string::npos) {
    const std::string_view number = std::string_view(text).substr(slash + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bits);
    if (error != std::errc() || end != number.data() + number.size() || bits < 0 || bits > kBits - skipped)
      return InvalidArgument(wanted);
  }
  IpAddress::Bytes network = first->bytes();
  for (int bit = skipped + bits; bit < kBits; ++bit)
    network[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(1 << (7 - bit % 8)));
  if (network != first->bytes()) {
    return InvalidArgument("'" + text + "' has bits behind its prefix; the network is " + IpAddress(network).Text() +
                           "/" + std::to_string(bits));
  }
  return AddressRange(*first, skipped + bits);
}

bool AddressRange::Contains(const IpAddress& address) const {
  for (int bit = 0; bit < bits_; ++bit) {
    if (BitAt(address.bytes(), bit) != BitAt(first_.bytes(), bit)) return false;
  }
  return true;
}

bool ContainsAddress(const AddressRanges& ranges, const IpAddress& address) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const AddressRange& range) { return range.Contains(address); });
}

IpAddress ClientBehind(const IpAddress& peer, const http::Fields& fields, const AddressRanges& trusted) {
  const std::optional<IpAddress> by_list = TrailIn(fields, kForwardedFor, trusted).client;
  const std::optional<IpAddress> by_forwarded = TrailIn(fields, kForwarded, trusted).client;
  if (by_list && by_forwarded && *by_list != *by_forwarded) {
    // Whoever names only proxies does not contradict.
    const bool list_ends_trusted = ContainsAddress(trusted, *by_list);
    const bool forwarded_ends_trusted = ContainsAddress(trusted, *by_forwarded);
    if (!list_ends_trusted && !forwarded_ends_trusted) return peer;
    return list_ends_trusted && !forwarded_ends_trusted ? *by_forwarded : *by_list;
  }
  return by_list.value_or(by_forwarded.value_or(peer));
}

std::optional<bool> ClientUsedTls(const IpAddress& client, const http::Fields& fields, const AddressRanges& trusted) {
  const Trail list = TrailIn(fields, kForwardedFor, trusted);
  const Trail forwarded = TrailIn(fields, kForwarded, trusted);
  if (fields.Find(kForwardedProto)) {
    // Proxies that add to the one list add to the other; where there are fewer, all of them replaced it or kept it.
    size_t elements = list.client == client ? list.elements : forwarded.client == client ? forwarded.elements : 1;
    std::string_view scheme;
    VisitFromLast(fields, kForwardedProto, [&](std::string_view element) {
      scheme = element;
      return --elements == 0;
    });
    return IsTls(scheme);
  }
  const bool believed = forwarded.client ? *forwarded.client == client : !list.client;
  return believed ? IsTls(ValueIn(forwarded.element, "proto=")) : std::nullopt;
}

}  // namespace oncegate

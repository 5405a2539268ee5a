#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "http/head.h"
#include "upstream/http_upstream.h"

namespace oncegate {
namespace {

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool IsPathChar(char c) {
  return c > 0x20 && c < 0x7f && c != '?' && c != '#';
}

Status Wrong(const std::string& text, std::string_view why) {
  return InvalidArgument("'" + text + "' " + std::string(why) +
                         "; give http://host:port or https://host:port, with a /prefix if need be");
}

bool IsIpv6(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

// The port's number, or 0 if it is none.
uint16_t ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() ? port : uint16_t{0};
}

}  // namespace

Result<UpstreamUrl> UpstreamUrl::Parse(const std::string& text) {
  UpstreamUrl url;
  std::string_view rest = text;
  const size_t scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos) return Wrong(text, "is no URL");
  const std::string_view scheme = rest.substr(0, scheme_end);
  url.tls = http::EqualsIgnoreCase(scheme, "https");
  if (!url.tls && !http::EqualsIgnoreCase(scheme, "http")) return Wrong(text, "is neither http nor https");
  rest.remove_prefix(scheme_end + 3);

  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  std::string_view prefix = rest.substr(authority.size());
  if (authority.find('@') != std::string_view::npos) return Wrong(text, "holds a user name");
  if (!std::all_of(prefix.begin(), prefix.end(), IsPathChar))
    return Wrong(text, "holds a query, a fragment or a space");
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  url.prefix = prefix;

  const bool bracketed = authority.starts_with('[');
  const size_t host_end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && host_end == std::string_view::npos) return Wrong(text, "has a '[' without ']'");
  url.host = bracketed ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  if (bracketed ? !IsIpv6(url.host) : url.host.empty() || !std::all_of(url.host.begin(), url.host.end(), IsNameChar)) {
    return Wrong(text, "has no proper host");
  }
  authority.remove_prefix(bracketed ? host_end + 1 : url.host.size());

  const uint16_t default_port = url.tls ? 443 : 80;
  url.port = default_port;
  if (!authority.empty()) {
    url.port = authority.front() == ':' ? ParsePort(authority.substr(1)) : uint16_t{0};
    if (url.port == 0) return Wrong(text, "has no port from 1 to 65535 after the host");
  }
  url.authority = bracketed ? "[" + url.host + "]" : url.host;
  if (url.port != default_port) url.authority += ":" + std::to_string(url.port);
  return url;
}

}  // namespace oncegate

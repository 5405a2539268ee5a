#include "ingress/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>

namespace oncegate {
namespace {

struct AddressListDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::string ErrnoText(int error) {
  return std::generic_category().message(error);
}

IpAddress AddressOf(const sockaddr_storage& address, uint16_t* port) {
  IpAddress::Bytes bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    *port = ntohs(v6.sin6_port);
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    *port = ntohs(v4.sin_port);
    std::memcpy(&bytes[12], &v4.sin_addr, sizeof v4.sin_addr);
  }
  return IpAddress(bytes);
}

// Binds and listens; the errno of what failed, or 0.
int Listen(int fd, const addrinfo& address) {
  const int on = 1;
  // Only SO_REUSEADDR: with SO_REUSEPORT a second process could quietly take half of the webhooks.
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return errno;
  if (address.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address.ai_addr, address.ai_addrlen) != 0) return errno;
  return listen(fd, kListenBacklog) == 0 ? 0 : errno;
}

}  // namespace

void OwnedFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<Endpoint> Endpoint::Parse(const std::string& text) {
  const std::string wanted = "'" + text + "' is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080";
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return InvalidArgument(wanted);
  Endpoint endpoint;
  endpoint.host = text.substr(0, colon);
  if (endpoint.host.front() == '[') {
    if (endpoint.host.size() < 3 || endpoint.host.back() != ']') return InvalidArgument(wanted);
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    return InvalidArgument(wanted);
  }
  const std::string_view port = std::string_view(text).substr(colon + 1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) return InvalidArgument(wanted);
  return endpoint;
}

Result<Listener> Listener::Open(const Endpoint& endpoint, std::string_view scheme) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string name = endpoint.host + ":" + std::to_string(endpoint.port);
  const int failure = getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (failure != 0) return InvalidArgument("cannot listen on " + name + ": " + gai_strerror(failure));
  const std::unique_ptr<addrinfo, AddressListDeleter> addresses(found);

  OwnedFd fd(socket(addresses->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return Unavailable("cannot listen on " + name + ": " + ErrnoText(errno));
  if (const int error = Listen(fd.get(), *addresses); error != 0)
    return Unavailable("cannot listen on " + name + ": " + ErrnoText(error));

  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return Unavailable("cannot listen on " + name + ": " + ErrnoText(errno));
  uint16_t port = 0;
  const std::string host = AddressOf(bound, &port).Text();
  const bool brackets = host.find(':') != std::string::npos;
  const std::string url =
      std::string(scheme) + "://" + (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
  return Listener{std::move(fd), url};
}

Accepted AcceptOne(int listener, int* error) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  OwnedFd fd(accept4(listener, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  *error = fd.get() < 0 ? errno : 0;
  if (*error != 0) return {};
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  uint16_t port = 0;
  return {std::move(fd), AddressOf(address, &port)};
}

}  // namespace oncegate

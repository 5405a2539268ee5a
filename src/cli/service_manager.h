#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace oncegate::cli {

// Tells whoever started the process as a service (systemd, Type=notify) how far it is: one datagram of lines NAME=VALUE
// to the socket that NOTIFY_SOCKET names (sd_notify(3)). Without such a socket, and when nobody listens there, nothing
// happens: being told is the service manager's wish, not ours.
class ServiceManager {
 public:
  // `socket` is what NOTIFY_SOCKET holds: a path, or a name in the abstract namespace behind '@'; null: nobody asked.
  explicit ServiceManager(const char* socket) : socket_(socket == nullptr ? "" : socket) {}

  // Requests are answered; also the end of what Reloading began. `status` is a line for people.
  void Ready(std::string_view status) const;
  // `steady_us` is now by CLOCK_MONOTONIC, which the manager compares with its own.
  void Reloading(int64_t steady_us) const;
  // The end has begun and may take so long: the manager must not kill the process before.
  void Stopping(int64_t timeout_ms) const;

 private:
  void Tell(std::string_view lines) const;

  std::string socket_;
};

}  // namespace oncegate::cli

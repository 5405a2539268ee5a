#include "cli/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace oncegate::cli {

void ServiceManager::Ready(std::string_view status) const {
  Tell("READY=1\nSTATUS=" + std::string(status));
}

void ServiceManager::Reloading(int64_t steady_us) const {
  Tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(steady_us));
}

void ServiceManager::Stopping(int64_t timeout_ms) const {
  Tell("STOPPING=1\nSTATUS=finishing what is in flight\nEXTEND_TIMEOUT_USEC=" + std::to_string(timeout_ms * 1000));
}

void ServiceManager::Tell(std::string_view lines) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  ::sendto(fd, lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
  ::close(fd);
}

}  // namespace oncegate::cli

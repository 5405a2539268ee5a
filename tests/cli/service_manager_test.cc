#include "cli/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>

namespace oncegate::cli {
namespace {

// The socket of a service manager, under a path or, with '@' in front, in the abstract namespace.
class ManagerSocket {
 public:
  explicit ManagerSocket(std::string name) : name_(std::move(name)), fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name_.data(), name_.size());
    if (name_.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), length), 0) << name_;
  }
  ~ManagerSocket() {
    ::close(fd_);
    ::unlink(name_.c_str());
  }
  ManagerSocket(const ManagerSocket&) = delete;
  ManagerSocket& operator=(const ManagerSocket&) = delete;

  [[nodiscard]] const char* name() const { return name_.c_str(); }
  // What lies there, or "nothing".
  [[nodiscard]] std::string Take() const {
    std::array<char, 512> buffer{};
    const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    return size < 0 ? "nothing" : std::string(buffer.data(), static_cast<size_t>(size));
  }

 private:
  const std::string name_;
  const int fd_;
};

TEST(ServiceManagerTest, HearsEachStepUnderEitherKindOfName) {
  const std::string pid = std::to_string(::getpid());
  for (const std::string& name : {testing::TempDir() + "notify." + pid, "@oncegate-notify-" + pid}) {
    const ManagerSocket socket(name);
    const ServiceManager manager(socket.name());
    manager.Ready("answering requests");
    EXPECT_EQ(socket.Take(), "READY=1\nSTATUS=answering requests") << name;
    manager.Reloading(1'500'000);
    EXPECT_EQ(socket.Take(), "RELOADING=1\nMONOTONIC_USEC=1500000") << name;
    manager.Stopping(90'000);
    EXPECT_EQ(socket.Take(), "STOPPING=1\nSTATUS=finishing what is in flight\nEXTEND_TIMEOUT_USEC=90000000") << name;
  }
}

TEST(ServiceManagerTest, NobodyThereIsNoReasonToFail) {
  ServiceManager(nullptr).Ready("");
  ServiceManager("").Ready("");
  ServiceManager("/nobody/is/there").Ready("");
  ServiceManager(std::string(200, 'x').c_str()).Ready("");
}

}  // namespace
}  // namespace oncegate::cli

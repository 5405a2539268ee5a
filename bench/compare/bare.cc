// The least that an HTTP server can do on this machine: one epoll loop a core, one constant answer to whatever comes.
// Also plays the application, behind the others.
//
// usage: compare_bare PORT

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kBodyBytes = 500;

std::string Answer() {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(kBodyBytes) +
         "\r\n\r\n" + std::string(kBodyBytes, 'r');
}

// How many whole requests `*input` begins with; they are taken out of it. Requests are those of compare_load and what
// proxies make of them: a head with Content-Length, or without a body.
size_t TakeRequests(std::string* input) {
  size_t count = 0;
  for (;;) {
    const size_t head = input->find("\r\n\r\n");
    if (head == std::string::npos) return count;
    const char* field = strcasestr(input->c_str(), "\r\ncontent-length:");
    const bool has_body = field != nullptr && field < input->c_str() + head;
    const size_t size = head + 4 + (has_body ? std::strtoul(field + 17, nullptr, 10) : 0);
    if (input->size() < size) return count;
    input->erase(0, size);
    ++count;
  }
}

void Loop(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener, 4096) != 0) {
    std::perror("compare_bare");
    std::exit(1);
  }
  const int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  const std::string answer = Answer();
  std::unordered_map<int, std::string> inputs;
  std::vector<epoll_event> events(256);
  std::vector<char> bytes(65536);
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event.data.fd = accepted;
        epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &event);
        continue;
      }
      const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
      if (got <= 0) {
        inputs.erase(fd);
        close(fd);
        continue;
      }
      std::string& input = inputs[fd];
      input.append(bytes.data(), static_cast<size_t>(got));
      for (size_t n = TakeRequests(&input); n > 0; --n) {
        if (send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: compare_bare PORT\n");
    return 2;
  }
  const auto port = static_cast<uint16_t>(std::strtoul(argv[1], nullptr, 10));
  std::vector<std::thread> loops;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) loops.emplace_back(Loop, port);
  for (std::thread& loop : loops) loop.join();
}

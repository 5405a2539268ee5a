// How long the sidecar's calls take, seen from one client on a kept-alive connection.
//
// usage: sidecar_latency PORT [SECONDS [RATE]]
//
// First a completed key is claimed again and again, RATE times a second (2000): latency counts from when a call was
// due, so that a server that stalls cannot hide it. Then new keys are claimed and completed, one call after the other.
// Prints one line of JSON, times in microseconds. Exit code 1 if an answer was wrong.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "sidecar_latency: %s\n", what.c_str());
  std::exit(1);
}

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("nobody listens there");
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // The answer, which has to be of this status.
  std::string Post(const std::string& target, const std::string& body, std::string_view status) {
    const std::string request = "POST " + target +
                                " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
                                "\r\n\r\n" + body;
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      Die("the server closed the connection");
    std::string answer;
    while (!IsWhole(answer)) {
      std::array<char, 4096> bytes{};
      const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
      if (got <= 0) Die("the server closed the connection");
      answer.append(bytes.data(), static_cast<size_t>(got));
    }
    if (answer.substr(9, 3) != status) Die(target + " was answered: " + answer);
    return answer;
  }

 private:
  static bool IsWhole(const std::string& answer) {
    const size_t end = answer.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const size_t length = answer.find("Content-Length: ");
    const size_t body = length < end ? std::strtoul(answer.c_str() + length + 16, nullptr, 10) : 0;
    return answer.size() >= end + 4 + body;
  }
  const int fd_;
};

std::string ClaimOf(const std::string& key) {
  return R"({"key":")" + key + "\"}";
}

void ClaimAndComplete(Client& client, const std::string& key) {
  const std::string answer = client.Post("/v1/claims", ClaimOf(key), "201");
  const std::string token = answer.substr(answer.find(R"("token":")") + 9, 32);
  client.Post("/v1/claims/" + token + "/complete", R"({"status":201,"body":"order 42"})", "204");
}

struct Times {
  std::vector<double> us;

  void Add(SteadyClock::time_point begun) {
    us.push_back(std::chrono::duration<double, std::micro>(SteadyClock::now() - begun).count());
  }
  double At(double share) {
    std::sort(us.begin(), us.end());
    return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
  }
  void Print(const char* name) {
    std::printf(R"("%s":{"calls":%zu,"p50_us":%.0f,"p99_us":%.0f,"max_us":%.0f})", name, us.size(), At(0.5), At(0.99),
                At(1));
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) Die("usage: sidecar_latency PORT [SECONDS [RATE]]");
  Client client(static_cast<uint16_t>(std::atoi(argv[1])));
  const std::chrono::duration<double> length(argc > 2 ? std::atof(argv[2]) : 5);
  const std::chrono::duration<double> interval(1 / (argc > 3 ? std::atof(argv[3]) : 2000));
  const std::string run = std::to_string(getpid()) + "-";

  ClaimAndComplete(client, run + "replayed");
  Times replays;
  const auto begun = SteadyClock::now();
  for (size_t i = 0; interval * static_cast<double>(i) < length; ++i) {
    const auto due = begun + std::chrono::duration_cast<SteadyClock::duration>(interval * static_cast<double>(i));
    // To the point: a timer of the kernel would be late by as much as is measured here.
    while (SteadyClock::now() < due) std::this_thread::yield();
    client.Post("/v1/claims", ClaimOf(run + "replayed"), "200");
    replays.Add(due);
  }
  Times executions;
  for (const auto end = SteadyClock::now() + length; SteadyClock::now() < end;) {
    const auto first = SteadyClock::now();
    ClaimAndComplete(client, run + std::to_string(executions.us.size()));
    executions.Add(first);
  }
  std::printf("{");
  replays.Print("replay");
  std::printf(",");
  executions.Print("claim_and_complete");
  std::printf("}\n");
  return 0;
}

// A load generator for one machine: kept-alive connections on one thread, HTTP or Redis, closed loop or fixed rate.
//
// usage: compare_load PORT [--connections N] [--seconds S] [--warmup S] [--keys N | --fresh PREFIX] [--body BYTES]
//                     [--count N] [--rate N] [--tls] [--redis] [--sidecar] [--path PATH] [--expect TEXT]
//
// --sidecar: one reply is a round trip of oncegate's sidecar API, a claim and then its completion with BYTES of body.
// Closed loop: each connection asks, waits and asks again. With --rate requests are due at fixed times, and latency
// counts from when they were due, so that a server that stalls cannot hide it by slowing its clients down.
// Prints one line of JSON. Exit code 1 if an answer was wrong.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Options {
  uint16_t port = 0;
  size_t connections = 32;
  double seconds = 3;
  double warmup = 0.5;
  size_t keys = 10'000;
  std::string fresh;  // not empty: every request has a key of its own, which begins with this
  size_t body = 500;
  size_t count = 0;  // not 0: ends after so many requests instead of after a time, and counts all of them
  double rate = 0;   // 0: closed loop
  bool tls = false;
  bool redis = false;
  bool sidecar = false;
  std::string path = "/webhook";
  std::string expect;  // has to stand in every answer
};

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "compare_load: %s\n", what.c_str());
  std::exit(2);
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : (Die(std::string(flag) + " needs a value"), ""); };
    if (flag == "--connections")
      options.connections = std::strtoul(value(), nullptr, 10);
    else if (flag == "--seconds")
      options.seconds = std::strtod(value(), nullptr);
    else if (flag == "--warmup")
      options.warmup = std::strtod(value(), nullptr);
    else if (flag == "--keys")
      options.keys = std::strtoul(value(), nullptr, 10);
    else if (flag == "--fresh")
      options.fresh = value();
    else if (flag == "--body")
      options.body = std::strtoul(value(), nullptr, 10);
    else if (flag == "--count")
      options.count = std::strtoul(value(), nullptr, 10);
    else if (flag == "--rate")
      options.rate = std::strtod(value(), nullptr);
    else if (flag == "--tls")
      options.tls = true;
    else if (flag == "--redis")
      options.redis = true;
    else if (flag == "--sidecar")
      options.sidecar = true;
    else if (flag == "--path")
      options.path = value();
    else if (flag == "--expect")
      options.expect = value();
    else
      options.port = static_cast<uint16_t>(std::strtoul(argv[i], nullptr, 10));
  }
  if (options.port == 0 || options.connections == 0 || options.keys == 0) Die("PORT and something to do are needed");
  return options;
}

// One kept-alive connection with at most one request on its way.
class Client {
 public:
  Client(const Options& options, SSL_CTX* context) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("cannot connect");
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (context != nullptr) {
      ssl_ = SSL_new(context);
      SSL_set_fd(ssl_, fd_);
      if (SSL_connect(ssl_) != 1) Die("the TLS handshake failed");
    }
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  }
  ~Client() {
    SSL_free(ssl_);
    close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const char* cipher() const { return ssl_ == nullptr ? "" : SSL_get_cipher(ssl_); }

  // Requests are small: a socket that is not read at the other end is the only one that does not take them whole.
  void Send(const std::string& request, int64_t due_ns) {
    due_ns_ = due_ns;
    answer_.clear();
    const auto size = static_cast<ssize_t>(request.size());
    const ssize_t sent = ssl_ != nullptr ? SSL_write(ssl_, request.data(), static_cast<int>(size))
                                         : send(fd_, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent != size) Die("a request was not taken");
  }

  // Whether the answer is whole now.
  bool Receive(bool redis) {
    char bytes[16384];
    for (;;) {
      const ssize_t got = ssl_ != nullptr ? SSL_read(ssl_, bytes, sizeof bytes) : recv(fd_, bytes, sizeof bytes, 0);
      if (got == 0) Die("the server closed a connection");
      if (got < 0) return false;
      answer_.append(bytes, static_cast<size_t>(got));
      if (redis ? RedisWhole() : HttpWhole()) return true;
    }
  }

  [[nodiscard]] const std::string& answer() const { return answer_; }
  [[nodiscard]] int64_t due_ns() const { return due_ns_; }

 private:
  [[nodiscard]] bool HttpWhole() const {
    const size_t head = answer_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    if (answer_.compare(0, 12, "HTTP/1.1 204") == 0) return true;
    const char* length = strcasestr(answer_.c_str(), "\r\ncontent-length:");
    if (length == nullptr) Die("an answer without Content-Length: " + answer_.substr(0, head));
    return answer_.size() >= head + 4 + std::strtoul(length + 17, nullptr, 10);
  }
  [[nodiscard]] bool RedisWhole() const {
    if (answer_.empty() || answer_[0] != '$') return answer_.ends_with("\r\n");
    const size_t line = answer_.find("\r\n");
    return line != std::string::npos && answer_.size() >= line + 4 + std::strtoul(answer_.c_str() + 1, nullptr, 10);
  }

  const int fd_;
  SSL* ssl_ = nullptr;
  std::string answer_;
  int64_t due_ns_ = 0;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (options.tls) context_ = SSL_CTX_new(TLS_client_method());
    body_.assign(options.body, 'b');
    for (size_t i = 0; i < options.connections; ++i) {
      clients_.push_back(std::make_unique<Client>(options, context_));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = clients_.back().get();
      epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_.back()->fd(), &event);
      idle_.push_back(clients_.back().get());
    }
  }

  void Run() {
    const int64_t start = NowNs();
    const bool counted = options_.count > 0;
    measure_from_ = start + (counted ? 0 : static_cast<int64_t>(options_.warmup * 1e9));
    const int64_t end = counted ? INT64_MAX : measure_from_ + static_cast<int64_t>(options_.seconds * 1e9);
    next_due_ = start;
    std::vector<epoll_event> events(1024);
    for (int64_t now = start; now < end && !(counted && latencies_.size() == options_.count); now = NowNs()) {
      SendDue(now, end);
      // At a fixed rate it polls: waking up late would be counted against the server.
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), options_.rate > 0 ? 0 : 100);
      for (int i = 0; i < count; ++i) Receive(*static_cast<Client*>(events[static_cast<size_t>(i)].data.ptr));
    }
  }

  // Exit code.
  int Report() {
    std::sort(latencies_.begin(), latencies_.end());
    const auto at = [&](double part) {
      if (latencies_.empty()) return 0.0;
      return static_cast<double>(latencies_[static_cast<size_t>(part * static_cast<double>(latencies_.size() - 1))]) /
             1e3;
    };
    std::printf(
        "{\"replies\":%zu,\"per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"wrong\":%zu,"
        "\"cipher\":\"%s\"}\n",
        latencies_.size(), static_cast<double>(latencies_.size()) / options_.seconds, at(0.5), at(0.99), at(0.999),
        wrong_, clients_.front()->cipher());
    if (wrong_ > 0) std::fprintf(stderr, "compare_load: a wrong answer: %s\n", a_wrong_one_.c_str());
    return wrong_ == 0 ? 0 : 1;
  }

 private:
  void SendDue(int64_t now, int64_t end) {
    while (!idle_.empty() && (options_.rate <= 0 || next_due_ <= now) && now < end &&
           (options_.count == 0 || next_key_ < options_.count)) {
      Client* client = idle_.front();
      idle_.pop_front();
      client->Send(NextRequest(), options_.rate > 0 ? next_due_ : NowNs());
      if (options_.rate > 0) next_due_ += static_cast<int64_t>(1e9 / options_.rate);
    }
  }

  void Receive(Client& client) {
    if (!client.Receive(options_.redis)) return;
    if (options_.sidecar && Complete(client)) return;
    const int64_t now = NowNs();
    if (now >= measure_from_) latencies_.push_back(now - client.due_ns());
    const char* wanted = options_.sidecar ? "HTTP/1.1 204" : "HTTP/1.1 200";
    const bool right = options_.redis || client.answer().compare(0, 12, wanted) == 0;
    if (!right || client.answer().find(options_.expect) == std::string::npos) {
      ++wrong_;
      a_wrong_one_ = client.answer().substr(0, 400);
    }
    idle_.push_back(&client);
  }

  // The second half of a round trip, if the first one gave a token.
  bool Complete(Client& client) {
    static constexpr std::string_view kToken = "\"token\":\"";
    const size_t at = client.answer().find(kToken);
    if (at == std::string::npos) return false;
    const std::string token = client.answer().substr(at + kToken.size(), 32);
    PutPost("/v1/claims/" + token + "/complete",
            R"({"status":200,"headers":[["Content-Type","application/json"]],"body":")" + body_ + "\"}");
    client.Send(request_, client.due_ns());
    return true;
  }

  void PutPost(const std::string& path, const std::string& body, const std::string& fields = {}) {
    request_ = "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + fields +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  const std::string& NextRequest() {
    const size_t number = next_key_++;
    const std::string key = options_.fresh.empty() ? "key_" + std::to_string(number % options_.keys)
                                                   : options_.fresh + std::to_string(number);
    if (options_.redis) {
      request_ = "*2\r\n$3\r\nGET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
    } else if (options_.sidecar) {
      // As clients do: an id for lost answers, and a fingerprint as long as a digest.
      PutPost("/v1/claims", R"({"key":")" + key + R"(","claim_id":")" + key + R"(","fingerprint":")" +
                                std::string(64, 'f') + R"(","lease":"60s"})");
    } else {
      PutPost(options_.path, body_, "Idempotency-Key: " + key + "\r\n");
    }
    return request_;
  }

  const Options options_;
  const int epoll_;
  SSL_CTX* context_ = nullptr;
  std::string body_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::deque<Client*> idle_;
  std::string request_;
  size_t next_key_ = 0;
  int64_t next_due_ = 0;
  int64_t measure_from_ = 0;
  std::vector<int64_t> latencies_;
  size_t wrong_ = 0;
  std::string a_wrong_one_;
};

}  // namespace

int main(int argc, char** argv) {
  Load load(ReadOptions(argc, argv));
  load.Run();
  return load.Report();
}

// A retry as its sender sees it: a POST over loopback HTTP, answered from the store. Everything is real but the
// application, which is not asked. Also the first delivery, whose claim and outcome are on disk before the answer.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gateway/gateway.h"
#include "http/head.h"
#include "ingress/ingress.h"
#include "store/rocksdb_store.h"

namespace oncegate {
namespace {

constexpr int kKeys = 200;
constexpr size_t kRequestBytes = 500;
constexpr size_t kResponseBytes = 500;

// The application: answers at once.
class InstantUpstream final : public Upstream {
 public:
  ForwardResult Forward(const OutboundRequest&, ResponseReceiver& receiver) override {
    const std::string body(kResponseBytes, 'r');
    http::ResponseHead head;
    http::HeadParser parser;
    parser.ParseResponse("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n",
                         "POST", &head);
    receiver.OnHead(std::move(head));
    receiver.OnBody(body);
    return {ForwardEnd::kAnswered, {}};
  }
  Status Probe(int64_t) override { return OkStatus(); }
  void Abort() override {}
};

// oncegate in this process, on a directory of its own.
class Server {
 public:
  Server() {
    std::string name = (std::filesystem::temp_directory_path() / "oncegate-bench-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    RocksDbStoreOptions options;
    options.directory = directory_ + "/data";
    auto store = OpenRocksDbStore(options, clock_, logger_);
    if (!store.ok()) std::abort();
    store_ = std::move(*store);
    gateway_ = std::make_unique<Gateway>(RouteTable(std::make_shared<const Route>()), GatewayLimits{},
                                         GatewayParts{*store_, upstream_, memory_, clock_, logger_});
    IngressOptions ingress;
    ingress.listen = {{"127.0.0.1", 0}};
    auto started = StartIngress(ingress, {*gateway_, memory_, clock_, logger_});
    if (!started.ok()) std::abort();
    ingress_ = std::move(*started);
    const std::string url = ingress_->addresses().front();
    port_ = static_cast<uint16_t>(std::strtoul(url.c_str() + url.rfind(':') + 1, nullptr, 10));
  }
  ~Server() {
    gateway_->ShutDown();
    ingress_->Stop(1000);
    ingress_.reset();
    gateway_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  SystemClock clock_;
  Logger logger_{LogFormat::kText, LogLevel::kError};
  ByteBudget memory_{512 << 20};
  InstantUpstream upstream_;
  std::string directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Ingress> ingress_;
  uint16_t port_ = 0;
};

// One kept-alive connection that asks and waits.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::abort();
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Whether the answer was 200 and carried `outcome`.
  bool Post(const std::string& key, std::string_view outcome) {
    request_ = "POST /webhook HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nIdempotency-Key: " + key +
               "\r\nContent-Length: " + std::to_string(body_.size()) + "\r\n\r\n" + body_;
    if (send(fd_, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size()))
      return false;
    answer_.clear();
    size_t head = std::string::npos;
    while ((head = answer_.find("\r\n\r\n")) == std::string::npos || answer_.size() < head + 4 + kResponseBytes) {
      char bytes[4096];
      const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
      if (got <= 0) return false;
      answer_.append(bytes, static_cast<size_t>(got));
    }
    return answer_.starts_with("HTTP/1.1 200") && answer_.find(outcome) < head;
  }

 private:
  int fd_;
  const std::string body_ = std::string(kRequestBytes, 'b');
  std::string request_;
  std::string answer_;
};

std::unique_ptr<Server> server;
std::atomic<int> next_key{0};

void StartServer(const benchmark::State&) {
  server = std::make_unique<Server>();
  Client client(server->port());
  for (int i = 0; i < kKeys; ++i) {
    if (!client.Post("key_" + std::to_string(i), "executed")) std::abort();
  }
}
void StopServer(const benchmark::State&) {
  server.reset();
}

// Runs `ask` once an iteration and reports the latencies' percentiles, in microseconds, averaged over the threads.
template <typename Ask>
void MeasureLatency(benchmark::State& state, const Ask& ask) {
  std::vector<double> micros;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    if (!ask()) return state.SkipWithError("a wrong answer");
    micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  if (micros.empty()) return;
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double part) {
    return micros[static_cast<size_t>(part * static_cast<double>(micros.size() - 1))];
  };
  state.counters["p50_us"] = benchmark::Counter(at(0.5), benchmark::Counter::kAvgThreads);
  state.counters["p99_us"] = benchmark::Counter(at(0.99), benchmark::Counter::kAvgThreads);
  state.SetItemsProcessed(static_cast<int64_t>(micros.size()));
}

void BM_Replay(benchmark::State& state) {
  Client client(server->port());
  int i = state.thread_index() * 97;
  MeasureLatency(state, [&] { return client.Post("key_" + std::to_string(++i % kKeys), "replayed"); });
}
BENCHMARK(BM_Replay)->Setup(StartServer)->Teardown(StopServer)->Threads(1)->Threads(4)->UseRealTime();

void BM_FirstDelivery(benchmark::State& state) {
  Client client(server->port());
  MeasureLatency(state, [&] { return client.Post("new_" + std::to_string(++next_key), "executed"); });
}
BENCHMARK(BM_FirstDelivery)->Setup(StartServer)->Teardown(StopServer)->Threads(1)->Threads(16)->UseRealTime();

}  // namespace
}  // namespace oncegate

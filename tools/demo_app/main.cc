// An application with the usual webhook handler: it takes its time, and creates an order for every delivery that it
// sees. It knows nothing of retries; oncegate in front of it does.

#include <httplib.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>

namespace {

constexpr int kBacklog = 1024;    // httplib listens with 5, which a burst of deliveries overflows
constexpr size_t kThreads = 128;  // httplib gives each open connection a thread; oncegate has 64 at work
constexpr size_t kRequestsPerConnection = 1'000'000;

class DemoServer : public httplib::Server {
 public:
  // Returns the port, or -1.
  int Bind(const std::string& host, int port) {
    if (port == 0) {
      port = bind_to_any_port(host);
    } else if (!bind_to_port(host, port)) {
      port = -1;
    }
    if (port > 0) ::listen(svr_sock_, kBacklog);
    return port;
  }
};

std::string OrderId(int64_t number) {
  return "order-" + std::to_string(number);
}

int Run(const std::string& host, int port, std::chrono::milliseconds delay) {
  std::atomic<int64_t> orders{0};

  DemoServer server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };  // the server deletes it
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(kRequestsPerConnection);
  server.Post("/webhook", [&](const httplib::Request&, httplib::Response& response) {
    std::this_thread::sleep_for(delay);
    const int64_t number = ++orders;
    response.set_content("{\"order\":\"" + OrderId(number) + "\"}\n", "application/json");
  });
  server.Get("/orders", [&](const httplib::Request&, httplib::Response& response) {
    const int64_t count = orders;
    const std::string last = count > 0 ? '"' + OrderId(count) + '"' : "null";
    response.set_content("{\"orders\":" + std::to_string(count) + ",\"last\":" + last + "}\n", "application/json");
  });

  const int bound = server.Bind(host, port);
  if (bound < 0) {
    std::cerr << "demo_app: cannot listen on " << host << ':' << port << '\n';
    return 1;
  }
  std::cout << "listening http://" << host << ':' << bound << std::endl;
  return server.listen_after_bind() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("orders: an application that creates one order for every webhook that it receives");
  std::string listen = "127.0.0.1:0";
  int delay_ms = 200;
  app.add_option("--listen", listen, "HOST:PORT to listen on; port 0 picks a free one")->capture_default_str();
  app.add_option("--delay-ms", delay_ms, "how long the work for one webhook takes")
      ->capture_default_str()
      ->check(CLI::Range(0, 600'000));
  CLI11_PARSE(app, argc, argv);

  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !CLI::detail::lexical_cast(listen.substr(colon + 1), port) || port < 0 ||
      port > 65535) {
    std::cerr << "demo_app: --listen takes HOST:PORT, not " << listen << '\n';
    return 2;
  }
  return Run(listen.substr(0, colon), port, std::chrono::milliseconds(delay_ms));
}

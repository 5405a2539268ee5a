#include "tools/demo/deliveries.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace demo {
namespace {

constexpr int kTimeoutSeconds = 30;

void Add(Answers& answers, const httplib::Response& response, double elapsed_ms) {
  ++answers.statuses[response.status];
  ++answers.outcomes[response.get_header_value("Oncegate-Outcome")];
  answers.bodies.insert(response.body);
  answers.slowest_ms = std::max(answers.slowest_ms, elapsed_ms);
}

}  // namespace

class Sender::Connection {
 public:
  explicit Connection(const std::string& gateway_url) : client_(gateway_url) {
    client_.set_keep_alive(true);
    client_.set_tcp_nodelay(true);
    client_.set_read_timeout(kTimeoutSeconds);
  }

  std::pair<httplib::Response, double> Post(const std::string& key) {
    const httplib::Headers headers{{"X-Idempotency-Key", key}};
    const auto start = std::chrono::steady_clock::now();
    const httplib::Result result = client_.Post("/webhook", headers, R"({"event":"order.paid"})", "application/json");
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    if (!result) throw std::runtime_error("no answer from oncegate: " + httplib::to_string(result.error()));
    return {result.value(), elapsed.count()};
  }

 private:
  httplib::Client client_;
};

Sender::Sender(std::string gateway_url)
    : gateway_url_(std::move(gateway_url)), connection_(std::make_unique<Connection>(gateway_url_)) {}

Sender::~Sender() = default;

Answers Sender::Deliver(const std::string& key) {
  const auto [response, elapsed_ms] = connection_->Post(key);
  Answers answers;
  Add(answers, response, elapsed_ms);
  return answers;
}

Answers Sender::DeliverAtOnce(const std::string& key, int copies) {
  std::latch start(copies);
  std::mutex mutex;
  Answers answers;
  std::string failure;
  std::vector<std::thread> senders;
  for (int copy = 0; copy < copies; ++copy) {
    senders.emplace_back([&] {
      Connection connection(gateway_url_);
      start.arrive_and_wait();
      try {
        const auto [response, elapsed_ms] = connection.Post(key);
        const std::lock_guard lock(mutex);
        Add(answers, response, elapsed_ms);
      } catch (const std::runtime_error& error) {
        const std::lock_guard lock(mutex);
        failure = error.what();
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  if (!failure.empty()) throw std::runtime_error(failure);
  return answers;
}

int CountOrders(const std::string& application_url) {
  httplib::Client client(application_url);
  const httplib::Result result = client.Get("/orders");
  const std::string before = "{\"orders\":";
  if (!result || !result->body.starts_with(before)) throw std::runtime_error("the application does not answer");
  return std::stoi(result->body.substr(before.size()));
}

}  // namespace demo

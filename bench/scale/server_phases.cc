#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/scale/corpus.h"
#include "bench/scale/machine.h"
#include "bench/scale/phases.h"
#include "bench/scale/server.h"

namespace oncegate::scale {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kReplayConnections = 4;
constexpr int kFirstConnections = 16;
// Deliveries that were not loaded have numbers from here on, others in each run.
uint64_t FirstNew() {
  return (1ULL << 60) + (static_cast<uint64_t>(SystemClock().WallMs()) << 16);
}

double MicrosSince(Steady::time_point start) {
  return std::chrono::duration<double, std::micro>(Steady::now() - start).count();
}

bool Replayed(const Connection::Answer& answer, const Delivery& delivery) {
  return answer.head.starts_with("HTTP/1.1 200") && answer.head.find("replayed") != std::string_view::npos &&
         answer.body == delivery.response_body;
}

struct Latencies {
  std::vector<double> from_sending;
  std::vector<double> from_due;  // from the moment at which it should have been sent
};

// Asks for keys of all that were loaded, so many a second; rate 0: as fast as answers come.
Latencies AskForReplays(const Plan& plan, uint16_t port, uint64_t first, uint64_t rate, double seconds) {
  Latencies latencies;
  Connection connection(port);
  const auto began = Steady::now();
  for (uint64_t i = 0;; ++i) {
    const Delivery delivery = DeliveryOf((first + i * 7'919'777) % plan.records);
    const std::string request = delivery.Request();
    auto due = Steady::now();
    if (rate > 0) {
      due = began + std::chrono::nanoseconds(i * 1'000'000'000 / rate);
      std::this_thread::sleep_until(due);
    }
    const auto sent = Steady::now();
    if (!Replayed(connection.Ask(request), delivery)) Die("a replay was wrong");
    latencies.from_sending.push_back(MicrosSince(sent));
    latencies.from_due.push_back(MicrosSince(due));
    if (MicrosSince(began) > seconds * 1e6) return latencies;
  }
}

// `run` is a number of its own for each measurement, so that none asks for the keys of the one before.
Latencies MeasureReplays(const Plan& plan, const Server& server, uint64_t run, uint64_t rate, double seconds) {
  std::vector<Latencies> parts(kReplayConnections);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < parts.size(); ++i)
    threads.emplace_back([&, i] {
      const uint64_t first = i * plan.records / kReplayConnections + run * 104'729;
      parts[i] = AskForReplays(plan, server.gateway_port(), first, rate / kReplayConnections, seconds);
    });
  for (std::thread& thread : threads) thread.join();
  Latencies all;
  for (const Latencies& part : parts) {
    all.from_sending.insert(all.from_sending.end(), part.from_sending.begin(), part.from_sending.end());
    all.from_due.insert(all.from_due.end(), part.from_due.begin(), part.from_due.end());
  }
  return all;
}

void PrintReplays(const Plan& plan, const Server& server) {
  const double seconds = plan.seconds;
  MeasureReplays(plan, server, 0, 0, seconds / 4);  // fills the caches as far as they go
  Usage before = UsageOf(server.pid());
  Latencies paced = MeasureReplays(plan, server, 1, plan.rate, seconds);
  Usage after = UsageOf(server.pid());
  const auto replays = static_cast<double>(paced.from_sending.size());
  const std::string at = "replay at " + std::to_string(plan.rate) + "/s: ";
  Print(at + "really", replays / seconds, "/s");
  Print(at + "median", Percentile(&paced.from_sending, 0.5), "us");
  Print(at + "p99", Percentile(&paced.from_sending, 0.99), "us");
  Print(at + "p99 from when it was due", Percentile(&paced.from_due, 0.99), "us");
  Print(at + "CPU of the server a reply", (after.cpu_s - before.cpu_s) / replays * 1e6, "us");
  before = UsageOf(server.pid());
  Latencies fast = MeasureReplays(plan, server, 2, 0, seconds);
  after = UsageOf(server.pid());
  const auto count = static_cast<double>(fast.from_sending.size());
  Print("replay at full speed: rate", count / seconds, "/s");
  Print("replay at full speed: p99", Percentile(&fast.from_sending, 0.99), "us");
  Print("replay at full speed: CPU of the server a reply", (after.cpu_s - before.cpu_s) / count * 1e6, "us");
}

// First deliveries, each durable. Numbers continue where the last call ended.
void PrintFirstDeliveries(const Plan& plan, const Server& server, std::atomic<uint64_t>* next) {
  std::vector<std::vector<double>> parts(kFirstConnections);
  std::vector<std::thread> threads;
  for (std::vector<double>& part : parts)
    threads.emplace_back([&] {
      Connection connection(server.gateway_port());
      const auto began = Steady::now();
      do {
        const std::string request = DeliveryOf((*next)++).Request();
        const auto sent = Steady::now();
        if (connection.Ask(request).head.find("executed") == std::string_view::npos) Die("a delivery failed");
        part.push_back(MicrosSince(sent));
      } while (MicrosSince(began) < plan.seconds * 1e6);
    });
  for (std::thread& thread : threads) thread.join();
  std::vector<double> all;
  for (const std::vector<double>& part : parts) all.insert(all.end(), part.begin(), part.end());
  Print("first deliveries: rate", static_cast<double>(all.size()) / plan.seconds, "/s");
  Print("first deliveries: median", Percentile(&all, 0.5), "us");
  Print("first deliveries: p99", Percentile(&all, 0.99), "us");
}

void PrintStats(const Server& server) {
  Connection connection(server.control_port());
  std::vector<double> micros;
  bool exact = false;
  while (!exact || micros.size() < 50) {
    const auto sent = Steady::now();
    const Connection::Answer answer = connection.Ask("GET /v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    if (!exact) micros.clear();
    micros.push_back(MicrosSince(sent));
    exact = answer.body.find(R"("exact":true)") != std::string_view::npos;
    if (!answer.head.starts_with("HTTP/1.1 200")) Die("no statistics");
    if (!exact) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Print("statistics over HTTP: median", Percentile(&micros, 0.5), "us");
  Print("statistics over HTTP: longest of 50", micros.back(), "us");
}

void PrintStart(const Plan& plan, const Application& application, const std::string& after) {
  const auto start = Steady::now();
  const Server server(plan.directory, application.url());
  Connection connection(server.control_port());
  while (!connection.Ask("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").head.starts_with("HTTP/1.1 200"))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Print("start to ready after " + after, MicrosSince(start) / 1e6, "s");
}

}  // namespace

void AskServer(const Plan& plan) {
  const Application application;
  std::atomic<uint64_t> next{FirstNew()};
  {
    Server server(plan.directory, application.url());
    // What the run before has left to compact would be measured instead.
    (void)BytesWhenSettled(plan.directory, plan.settle_s);
    PrintStats(server);
    PrintReplays(plan, server);
    PrintFirstDeliveries(plan, server, &next);
    Print("memory: server", static_cast<double>(ResidentBytes(server.pid())) / (1 << 20), "MiB");
    server.Kill();
  }
  PrintStart(plan, application, "kill -9");
  PrintStart(plan, application, "another kill -9");
}

}  // namespace oncegate::scale

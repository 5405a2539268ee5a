// Gateway and sidecar race for the same keys. The ledgers of what was done are outside of oncegate: the application's,
// and the one that the sidecar's clients keep here.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/raw_client.h"

namespace oncegate {
namespace {

constexpr size_t kClients = 64;  // half of them at the gateway
constexpr size_t kKeys = 1000;

std::string KeyOf(size_t number) {
  return "race-" + std::to_string(number);
}

std::string Post(const std::string& target, const std::string& fields, const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class RaceE2e : public testing::Test {
 protected:
  RaceE2e() : server_({"--upstream", app_.url(), "--data-dir", dir_ / "data", "--log-level", "warn"}) {}

  void DeliverAll(size_t client) {
    RawClient gateway(server_.gateway_port());
    for (size_t i = 0; i < kKeys; ++i) {
      gateway.Send(Post("/webhook", "Idempotency-Key: " + KeyOf(Nth(client, i)) + "\r\n", "{}"));
      Note(gateway.Receive().status);
    }
  }
  void ClaimAll(size_t client) {
    RawClient control(server_.control_port());
    for (size_t i = 0; i < kKeys; ++i) {
      const size_t number = Nth(client, i);
      control.Send(Post("/v1/claims", "", R"({"key":")" + KeyOf(number) + "\"}"));
      const RawAnswer answer = control.Receive();
      Note(answer.status);
      if (answer.status != 201) continue;
      ++done_[number];
      const std::string token = answer.body.substr(answer.body.find(R"("token":")") + 9, 32);
      control.Send(Post("/v1/claims/" + token + "/complete", "", R"({"status":200})"));
      EXPECT_EQ(control.Receive().status, 204) << KeyOf(number);
    }
  }
  // All of a kind go for the same few keys at any moment. The two kinds come from both ends, because a claim that is
  // refused goes on at once where a delivery waits: side by side the sidecar's clients would always be first.
  static size_t Nth(size_t client, size_t i) {
    const size_t place = (i + client / 8) % kKeys;
    return client % 2 == 0 ? kKeys - 1 - place : place;
  }
  void Note(int status) { ++statuses_[static_cast<size_t>(status)]; }

  TempDir dir_;
  CountingApp app_;
  ServeProcess server_;
  std::array<std::atomic<int>, kKeys> done_{};
  std::array<std::atomic<int>, 600> statuses_{};
};

TEST_F(RaceE2e, EachOfAThousandKeysIsExecutedOnce) {
  ASSERT_TRUE(server_.listening()) << server_.Err();
  std::vector<std::thread> clients;
  for (size_t client = 0; client < kClients; ++client) {
    clients.emplace_back([this, client] { client % 2 == 0 ? DeliverAll(client) : ClaimAll(client); });
  }
  for (std::thread& client : clients) client.join();
  int by_gateway = 0;
  int by_sidecar = 0;
  for (size_t number = 0; number < kKeys; ++number) {
    const int delivered = app_.Executions(KeyOf(number));
    EXPECT_EQ(delivered + done_[number], 1) << KeyOf(number);
    by_gateway += delivered;
    by_sidecar += done_[number];
  }
  EXPECT_EQ(app_.Total(), by_gateway);
  EXPECT_GT(by_gateway, 0);
  EXPECT_GT(by_sidecar, 0);
  for (size_t status = 0; status < statuses_.size(); ++status) {
    const bool expected = status == 200 || status == 201 || status == 409;
    EXPECT_TRUE(expected || statuses_[status] == 0) << statuses_[status] << " answers of status " << status;
  }
  EXPECT_EQ(server_.Stop(), 0);
}

}  // namespace
}  // namespace oncegate

// Connections by the thousand, connections that do not behave, and what is left for the others.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tls_client.h"

namespace oncegate {
namespace {

class ConnectionsE2e : public testing::Test {
 protected:
  void Serve(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--upstream", app_.url(), "--data-dir", dir_ / "data"});
    server_ = std::make_unique<ServeProcess>(flags);
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }
  [[nodiscard]] RawClient Connect() const { return RawClient(server_->gateway_port()); }
  static std::string PostOf(const std::string& key) {
    return "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\nContent-Length: 2\r\n\r\n{}";
  }
  [[nodiscard]] std::string Verdict(const std::string& key) const {
    RawClient client = Connect();
    client.Send(PostOf(key));
    return client.Receive().Verdict();
  }
  // A line of /proc/PID/status, as a number.
  [[nodiscard]] int64_t StatusOf(const std::string& name) const {
    std::ifstream status("/proc/" + std::to_string(server_->pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(name + ":")) return std::atoll(line.c_str() + name.size() + 1);
    }
    return -1;
  }
  [[nodiscard]] size_t Descriptors() const {
    const std::filesystem::directory_iterator open("/proc/" + std::to_string(server_->pid()) + "/fd");
    return static_cast<size_t>(std::distance(begin(open), end(open)));
  }

  TempDir dir_;
  CountingApp app_;
  std::unique_ptr<ServeProcess> server_;
};

// Whether this process may open so many descriptors; it may from then on.
bool RaiseDescriptorLimit(rlim_t wanted) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max >= wanted;
}

TEST_F(ConnectionsE2e, TenThousandIdleOnesCostMemoryAndNoThread) {
  constexpr size_t kConnections = 10'000;
  constexpr rlim_t kDescriptors = kConnections + 512;
  if (!RaiseDescriptorLimit(kDescriptors)) {
    GTEST_SKIP() << "10,000 connections take " << kDescriptors
                 << " file descriptors, and the hard limit is lower (ulimit -Hn)";
  }
  Serve({"--max-connections", "10100"});
  EXPECT_EQ(Verdict("evt_1"), "200 executed");
  const int64_t threads = StatusOf("Threads");
  const int64_t before_kib = StatusOf("VmRSS");
  std::vector<RawClient> idle;
  for (size_t i = 0; i < kConnections; ++i) {
    idle.push_back(Connect());
    ASSERT_TRUE(idle.back().connected()) << i;
  }
  for (size_t i = 0; i < kConnections; i += 97) {
    idle[i].Send(PostOf("evt_1"));
    ASSERT_EQ(idle[i].Receive().Verdict(), "200 replayed") << i;
  }
  EXPECT_EQ(Verdict("evt_1"), "200 replayed");
  EXPECT_EQ(StatusOf("Threads"), threads);
  if (kAddressSanitizer) return;  // it keeps freed memory
  EXPECT_LT(StatusOf("VmRSS"), 300 * 1024) << "KiB; before: " << before_kib;
}

TEST_F(ConnectionsE2e, ChurnLeavesNothingBehind) {
  Serve();
  EXPECT_EQ(Verdict("evt_1"), "200 executed");
  const size_t before = Descriptors();
  std::vector<std::thread> clients;
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back([this, t] {
      for (int i = 0; i < 500; ++i) {
        RawClient client = Connect();
        switch ((i + t) % 4) {
          case 0:
            EXPECT_EQ(Verdict("evt_1"), "200 replayed");
            break;
          case 1:
            client.Send("POST /webhook HTTP/1.1\r\nHost:");
            client.Reset();
            break;
          case 2:
            client.Send(PostOf("evt_1"));  // and does not wait for the answer
            break;
          default:
            client.CloseSending();
            EXPECT_TRUE(client.AtEnd());
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(Verdict("evt_1"), "200 replayed");
  while (Descriptors() > before) std::this_thread::yield();
  EXPECT_EQ(app_.Executions("evt_1"), 1);
}

TEST_F(ConnectionsE2e, OutOfDescriptorsItShedsAndRecovers) {
  Serve();
  EXPECT_EQ(Verdict("evt_1"), "200 executed");
  // From the store and from memory: UndefinedBehaviorSanitizer needs a descriptor where it first meets a type.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Verdict("evt_1"), "200 replayed");
  constexpr size_t kRoom = 20;
  const rlim_t limit = Descriptors() + kRoom;
  const rlimit tight{limit, limit};
  ASSERT_EQ(prlimit(server_->pid(), RLIMIT_NOFILE, &tight, nullptr), 0);
  std::vector<RawClient> crowd;
  for (size_t i = 0; i < 3 * kRoom; ++i) crowd.push_back(Connect());
  // The first ones got in; of the others some are shed at once and the rest wait for room.
  crowd.front().Send(PostOf("evt_1"));
  EXPECT_EQ(crowd.front().Receive().Verdict(), "200 replayed");
  while (server_->Err().find("no file descriptors are left") == std::string::npos) std::this_thread::yield();
  crowd.clear();
  // Those that waited are taken, found gone, and let go: then there is room again, without a restart.
  while (Verdict("evt_1") != "200 replayed") std::this_thread::yield();
  EXPECT_EQ(Verdict("evt_2"), "200 executed");
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(ConnectionsE2e, HangupRereadsTheCertificateAndKeepsTheOldOneForABadFile) {
  const TestCertificates certificates;
  Serve({"--tls-cert", certificates.certificate_file(), "--tls-key", certificates.key_file()});
  const auto name = [&] {
    std::string found;
    TlsClient::Options options;
    options.certificate = &found;
    RawClient client(server_->gateway_port(), certificates.client().With(options));
    client.Send(PostOf("evt_1"));
    EXPECT_EQ(client.Receive().status, 200);
    return found;
  };
  const auto logged = [&](const std::string& text) {
    while (server_->Err().find(text) == std::string::npos) std::this_thread::yield();
  };
  EXPECT_EQ(name(), "first");
  certificates.Renew("second");
  server_->Signal(SIGHUP);
  logged("new certificate in force");
  EXPECT_EQ(name(), "second");
  std::ofstream(certificates.certificate_file()) << "not a certificate\n";
  server_->Signal(SIGHUP);
  logged("the old one stays in force");
  EXPECT_NE(server_->Err().find("holds no usable PEM certificate"), std::string::npos) << server_->Err();
  EXPECT_EQ(name(), "second");
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(ConnectionsE2e, CertificatesThatCannotBeUsedEndWithExitCode2) {
  const TestCertificates certificates;
  const CommandResult missing = RunOncegate({"serve", "--tls-cert", "/no/such.pem", "--tls-key", "/no/such.key"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_EQ(missing.err,
            "oncegate: --tls-cert, --tls-key: the certificate '/no/such.pem' cannot be read: "
            "No such file or directory\n");
  const CommandResult half = RunOncegate({"serve", "--tls-cert", certificates.certificate_file()});
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_EQ(half.err, "oncegate: --tls-cert: needs --tls-key, the certificate's key\n");
}

}  // namespace
}  // namespace oncegate

#include "cli/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/app.h"
#include "tests/support/raw_client.h"
#include "tests/support/tls_client.h"
#include "tests/upstream/scripted_server.h"

namespace oncegate::cli {
namespace {

struct Finished {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// The machine's clock, which a test can put forward.
class AdvancingClock final : public Clock {
 public:
  [[nodiscard]] int64_t WallMs() const override { return real_.WallMs() + ahead_ms_.load(); }
  [[nodiscard]] int64_t SteadyMs() const override { return real_.SteadyMs() + ahead_ms_.load(); }
  [[nodiscard]] int64_t SteadyUs() const override { return real_.SteadyUs() + ahead_ms_.load() * 1000; }
  void Advance(int64_t ms) { ahead_ms_ += ms; }

 private:
  const SystemClock real_{};
  std::atomic<int64_t> ahead_ms_{0};
};

// A server as `serve` would build it, on free ports and an empty directory.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    std::string pattern = testing::TempDir() + "/oncegate_server_test_XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ServerTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  using Flags = std::map<std::string, std::vector<std::string>, std::less<>>;

  ServeOptions Options(const Flags& more = {}) {
    FlagSources sources;
    sources.command_line = {{"listen", {"127.0.0.1:0"}},
                            {"control-listen", {"127.0.0.1:0"}},
                            {"data-dir", {directory_ + "/data"}},
                            // Nobody listens there.
                            {"upstream", {"http://127.0.0.1:1"}}};
    for (const auto& [name, values] : more) sources.command_line[name] = values;
    sources.variable = [](const char*) -> const char* { return nullptr; };
    Result<ServeOptions> options = ReadServeOptions(sources);
    EXPECT_TRUE(options.ok()) << options.status().message();
    return *std::move(options);
  }
  void Start(const Flags& more = {}) {
    Result<std::unique_ptr<Server>> server = Server::Start(Options(more), clock_, logger_);
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = *std::move(server);
  }

  RawAnswer AskGateway(const std::string& key) {
    RawClient client(RawClient::PortOf(server_->gateway_addresses().at(0)));
    client.Send("POST /hook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\nContent-Length: 2\r\n\r\n{}");
    return client.Receive();
  }
  RawAnswer AskControl(const std::string& line, const std::string& fields = {}) {
    RawClient client(RawClient::PortOf(server_->control_address()));
    client.Send(line + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
    return client.Receive();
  }
  Finished RunClient(Arguments arguments) {
    arguments.insert(arguments.end(), {"--control", server_->control_address()});
    return RunOffline(arguments);
  }
  static Finished RunOffline(const Arguments& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = cli::Run(arguments, {out, err});
    return {exit_code, out.str(), err.str()};
  }

  AdvancingClock clock_;
  Logger logger_{LogFormat::kText, LogLevel::kError};
  std::string directory_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, StartsFromTheExampleFile) {
  Start({{"config", {ONCEGATE_SOURCE_DIR "/data/oncegate.toml"}}});
  EXPECT_EQ(AskControl("GET /readyz").status, 200);
  EXPECT_EQ(AskGateway("a").Verdict(), "502 upstream-unreachable");
}

TEST_F(ServerTest, AnApplicationThatIsDownIsNamedAndDoesNotKeepItFromStarting) {
  Start();
  const RawAnswer ready = AskControl("GET /readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_NE(ready.body.find(R"("upstream":"unreachable: )"), std::string::npos) << ready.body;
  EXPECT_EQ(AskGateway("a").Verdict(), "502 upstream-unreachable");
}

TEST_F(ServerTest, WithoutAnApplicationOnlyTheControlListenerRuns) {
  ServeOptions options = Options();
  options.upstream.reset();
  Result<std::unique_ptr<Server>> server = Server::Start(options, clock_, logger_);
  ASSERT_TRUE(server.ok()) << server.status().message();
  server_ = *std::move(server);
  EXPECT_TRUE(server_->gateway_addresses().empty());
  EXPECT_EQ(AskControl("GET /readyz").body, R"({"status":"ready","reason":null,"upstream":"none"})");
  EXPECT_EQ(AskControl("GET /v1/stats").status, 200);
}

TEST_F(ServerTest, CommandsTalkToIt) {
  Start({{"final-status", {"2xx"}}});
  const Finished stats = RunClient({"stats"});
  EXPECT_EQ(stats.exit_code, 0) << stats.err;
  EXPECT_NE(stats.out.find("records active"), std::string::npos) << stats.out;
  EXPECT_EQ(RunClient({"list"}).out, "no records\n");
  EXPECT_EQ(RunClient({"list", "--json"}).out, "{\"records\":[],\"next_cursor\":null}\n");
  const Finished bad = RunClient({"list", "--limit", "0"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.err, "oncegate: 'limit' is a number from 1 to 1000 (bad-request)\n");
  for (const char* command : {"get", "release"}) {
    const Finished missing = RunClient({command, "a/b", "--scope", "shop"});
    EXPECT_EQ(missing.exit_code, 1) << command;
    EXPECT_EQ(missing.err, "oncegate: there is no record of key 'a/b' in scope 'shop'\n") << command;
  }
  const Finished cleanup = RunClient({"cleanup"});
  EXPECT_EQ(cleanup.exit_code, 0) << cleanup.err;
  EXPECT_EQ(cleanup.out.rfind("removed 0 expired records, 0 B came back", 0), 0U) << cleanup.out;
}

TEST_F(ServerTest, ReloadBringsPoliciesIntoForceAndKeepsTheRest) {
  Start();
  EXPECT_EQ(AskGateway("a").Verdict(), "502 upstream-unreachable");
  ServeOptions fresh = Options({{"methods", {"PUT"}}, {"upstream", {"http://127.0.0.1:2"}}});
  fresh.control_tokens = *control::ParseTokens("t0ken");
  EXPECT_TRUE(server_->Reload(fresh).ok());
  EXPECT_EQ(AskControl("GET /v1/stats").status, 401);
  EXPECT_EQ(RunClient({"stats"}).err, "oncegate: the server asks for a token; give --control-token-file\n");
  const RawAnswer stats = AskControl("GET /v1/stats", "Authorization: Bearer t0ken\r\n");
  EXPECT_EQ(stats.status, 200);
  EXPECT_NE(stats.body.find(R"("upstream_unreachable":1)"), std::string::npos) << stats.body;
}

// An application that answers each connection's first request.
std::unique_ptr<ScriptedServer> Application() {
  return std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[](Peer& peer) {
    if (!peer.ReadRequest().empty()) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  }});
}
std::string UrlOf(const ScriptedServer& application) {
  return "http://127.0.0.1:" + std::to_string(application.port());
}

TEST_F(ServerTest, ANewApplicationTakesOverWithTheReload) {
  const auto application = Application();
  Start();
  EXPECT_EQ(AskGateway("a").Verdict(), "502 upstream-unreachable");
  EXPECT_TRUE(server_->Reload(Options({{"upstream", {UrlOf(*application)}}})).ok());
  EXPECT_EQ(AskGateway("a").Verdict(), "200 executed");

  ServeOptions none = Options();
  none.upstream.reset();
  EXPECT_EQ(server_->Reload(none).message(),
            "--upstream: is gone; without a restart the gateway needs its application");
  EXPECT_EQ(AskGateway("b").Verdict(), "200 executed");
}

TEST_F(ServerTest, EachRouteHasItsApplicationAndReadyzNamesThoseThatAreDown) {
  const auto application = Application();
  const std::string file = directory_ + "/routes.json";
  std::ofstream(file) << R"([{"name":"up","prefix":"/hook","upstream":")" + UrlOf(*application) + "\"},"
                      << R"({"name":"down","prefix":"/","upstream":"http://127.0.0.1:1"},)"
                      << R"({"name":"too","prefix":"/too","upstream":"http://127.0.0.1:2/api"}])";
  Start({{"routes", {file}}});
  EXPECT_EQ(AskGateway("a").Verdict(), "200 executed");
  const std::string ready = AskControl("GET /readyz").body;
  EXPECT_NE(ready.find("unreachable: http://127.0.0.1:1: cannot connect"), std::string::npos) << ready;
  EXPECT_NE(ready.find("; http://127.0.0.1:2: cannot connect"), std::string::npos) << ready;
  EXPECT_EQ(ready.find(UrlOf(*application)), std::string::npos) << ready;

  // What no route leads to any more is not asked for, though requests may still be there.
  std::ofstream(file) << R"([{"name":"up","prefix":"/","upstream":")" + UrlOf(*application) + "\"}]";
  EXPECT_TRUE(server_->Reload(Options({{"routes", {file}}})).ok());
  clock_.Advance(2000);
  EXPECT_NE(AskControl("GET /readyz").body.find(R"("upstream":"reachable")"), std::string::npos);

  std::ofstream(file) << R"([{"name":"up","prefix":"/","upstream":"https://app","upstream-ca":"/no/ca.pem"}])";
  const Status status = server_->Reload(Options({{"routes", {file}}}));
  EXPECT_EQ(status.message().rfind(file + ": route 'up': ", 0), 0U) << status.message();
  EXPECT_EQ(AskGateway("b").Verdict(), "200 executed") << "the old ones stay";
}

TEST_F(ServerTest, ACertificateServesTheGatewayAndAControlListenerBeyondLoopback) {
  const TestCertificates certificates;
  const std::string token_file = directory_ + "/tokens";
  std::ofstream(token_file) << "secret\n";
  const Flags flags = {{"tls-cert", {certificates.certificate_file()}},
                       {"tls-key", {certificates.key_file()}},
                       {"control-listen", {"0.0.0.0:0"}},
                       {"control-token-file", {token_file}}};
  Start(flags);
  EXPECT_TRUE(server_->gateway_addresses().at(0).starts_with("https://"));
  EXPECT_TRUE(server_->control_address().starts_with("https://"));
  const std::string port = std::to_string(RawClient::PortOf(server_->control_address()));
  setenv("SSL_CERT_FILE", certificates.ca_file().c_str(), 1);
  const Finished stats =
      RunOffline({"stats", "--json", "--control", "https://localhost:" + port, "--control-token-file", token_file});
  EXPECT_EQ(stats.exit_code, kExitOk) << stats.err;
  unsetenv("SSL_CERT_FILE");
  const Finished doubtful = RunOffline({"stats", "--control", "https://localhost:" + port});
  EXPECT_EQ(doubtful.exit_code, kExitFailed) << "a certificate that nobody vouches for";

  const auto name_of = [&](const std::string& url) {
    std::string name;
    TlsClient::Options options;
    options.certificate = &name;
    EXPECT_TRUE(RawClient(RawClient::PortOf(url), certificates.client().With(options)).connected());
    return name;
  };
  EXPECT_EQ(name_of(server_->gateway_addresses().at(0)), "first");
  certificates.Renew("second");
  EXPECT_TRUE(server_->Reload(Options(flags)).ok());
  EXPECT_EQ(name_of(server_->gateway_addresses().at(0)), "second");
  EXPECT_EQ(name_of(server_->control_address()), "second");
  EXPECT_TRUE(server_->Reload(Options()).ok());
  EXPECT_EQ(name_of(server_->gateway_addresses().at(0)), "second") << "never in plain text on a port that spoke TLS";
}

TEST_F(ServerTest, ALoopbackControlListenerStaysInPlainText) {
  const TestCertificates certificates;
  Start({{"tls-cert", {certificates.certificate_file()}}, {"tls-key", {certificates.key_file()}}});
  EXPECT_TRUE(server_->gateway_addresses().at(0).starts_with("https://"));
  EXPECT_EQ(AskControl("GET /healthz").status, 200);
}

TEST_F(ServerTest, DrainingLetsGoOfTheStoreAndThePorts) {
  Start();
  const uint16_t port = RawClient::PortOf(server_->control_address());
  server_->Drain();
  EXPECT_FALSE(RawClient(port).connected());
  server_.reset();
  Start();
  EXPECT_EQ(AskControl("GET /healthz").status, 200);
}

TEST_F(ServerTest, AStoreThatIsInUseIsRefusedWithItsName) {
  Start();
  const Result<std::unique_ptr<Server>> second = Server::Start(Options(), clock_, logger_);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(directory_ + "/data"), std::string::npos) << second.status().message();
}

TEST_F(ServerTest, TheSameJsonComesFromTheDirectoryWhenNoServerRuns) {
  Start();
  const std::string online = RunClient({"list", "--json"}).out;
  server_->Drain();
  const Finished offline = RunOffline({"list", "--json", "--data-dir", directory_ + "/data"});
  EXPECT_EQ(offline.exit_code, 0) << offline.err;
  EXPECT_EQ(offline.out, online);
  const Finished stats = RunOffline({"stats", "--json", "--data-dir", directory_ + "/data"});
  EXPECT_NE(stats.out.find(R"("requests":null)"), std::string::npos) << stats.out << stats.err;
}

}  // namespace
}  // namespace oncegate::cli

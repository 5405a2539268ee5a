// The commands and the start of the server, as an operator sees them.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/raw_client.h"

namespace oncegate {
namespace {

class CommandE2e : public testing::Test {
 protected:
  void Serve(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--upstream", app_.url(), "--data-dir", dir_ / "data"});
    server_ = std::make_unique<ServeProcess>(flags);
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }
  void Deliver(const std::string& key, const std::string& fields = {}, const std::string& body = "{}") {
    RawClient client(server_->gateway_port());
    client.Send("POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\n" + fields +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_EQ(client.Receive().status, 200) << key;
  }
  CommandResult Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--control", server_->control_url()});
    return RunOncegate(arguments);
  }
  // One line on standard error, nothing on standard output, and the text in it.
  static void ExpectOneLine(const CommandResult& result, int exit_code, const std::string& text) {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  }

  TempDir dir_;
  CountingApp app_;
  std::unique_ptr<ServeProcess> server_;
};

TEST_F(CommandE2e, GetListStatsReleaseAndCleanupSpeakToTheServer) {
  Serve({"--label", "order_id=/order/id"});
  Deliver("evt_1", "", R"({"order":{"id":"ord_42"}})");
  Deliver("evt_1", "", R"({"order":{"id":"ord_42"}})");
  Deliver("a/b");

  const CommandResult get = Run({"get", "evt_1", "--json"});
  EXPECT_EQ(get.exit_code, 0) << get.err;
  for (const char* part :
       {R"("key":"evt_1")", R"("state":"completed")", R"("attempt":1)", R"("replays":1)", R"("order_id":"ord_42")",
        R"("method":"POST")", R"("target":"/webhook")", R"("status":200)", R"("source_ip":"127.0.0.1")"})
    EXPECT_NE(get.out.find(part), std::string::npos) << part << " in " << get.out;

  EXPECT_EQ(Run({"get", "a/b"}).exit_code, 0);
  ExpectOneLine(Run({"get", "nobody"}), 1, "nobody");

  EXPECT_EQ(Run({"list", "--json", "--label", "order_id=ord_42"}).out,
            Run({"list", "--json", "--label", "order_id:ord_42"}).out);
  const CommandResult list = Run({"list", "--json", "--label", "order_id=ord_42"});
  EXPECT_NE(list.out.find(R"("key":"evt_1")"), std::string::npos) << list.out;
  EXPECT_EQ(list.out.find(R"("key":"a/b")"), std::string::npos) << list.out;

  const CommandResult stats = Run({"stats", "--json"});
  for (const char* part :
       {R"("active":2)", R"("completed":2)", R"("executed":2)", R"("replayed":1)", R"("hit_rate":0.3)"})
    EXPECT_NE(stats.out.find(part), std::string::npos) << part << " in " << stats.out;

  EXPECT_EQ(Run({"release", "evt_1"}).exit_code, 0);
  ExpectOneLine(Run({"release", "evt_1"}), 1, "evt_1");
  Deliver("evt_1");
  EXPECT_EQ(app_.Executions("evt_1"), 2);
  EXPECT_EQ(Run({"cleanup"}).exit_code, 0);
}

TEST_F(CommandE2e, RecordsOfAJoinedScopeCanBeReadAndReleased) {
  Serve({"--scope-header", "Authorization"});
  Deliver("evt_1", "Authorization: Bearer alice\r\n");
  const CommandResult list = Run({"list", "--json"});
  const size_t at = list.out.find("default~");
  ASSERT_NE(at, std::string::npos) << list.out;
  const std::string scope = list.out.substr(at, 8 + 32);
  EXPECT_EQ(Run({"get", "evt_1", "--scope", scope}).exit_code, 0);
  EXPECT_EQ(Run({"release", "evt_1", "--scope", scope}).exit_code, 0);
  Deliver("evt_1", "Authorization: Bearer alice\r\n");
  EXPECT_EQ(app_.Executions("evt_1"), 2);
}

TEST_F(CommandE2e, ReadsADirectoryThatNoServerUses) {
  Serve();
  Deliver("evt_1");
  const std::string data = dir_ / "data";
  EXPECT_EQ(server_->Stop(), 0);
  const CommandResult get = RunOncegate({"get", "evt_1", "--json", "--data-dir", data});
  EXPECT_EQ(get.exit_code, 0) << get.err;
  EXPECT_NE(get.out.find(R"("state":"completed")"), std::string::npos) << get.out;
  EXPECT_EQ(RunOncegate({"stats", "--data-dir", data}).exit_code, 0);
  EXPECT_EQ(RunOncegate({"list", "--data-dir", data}).exit_code, 0);
}

TEST_F(CommandE2e, TheDataDirectoryIsPrivate) {
  Serve();
  struct stat status {};
  ASSERT_EQ(stat((dir_ / "data").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

TEST_F(CommandE2e, ADirectoryInUseIsRefused) {
  Serve();
  ExpectOneLine(RunOncegate({"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir",
                             dir_ / "data", "--upstream", app_.url()}),
                1, "in use");
}

TEST_F(CommandE2e, DirectoriesThatAreNotOursAreRefusedAndLeftAlone) {
  const std::string other = dir_ / "other";
  std::filesystem::create_directory(other);
  std::ofstream(other + "/precious.txt") << "data";
  ExpectOneLine(RunOncegate({"serve", "--data-dir", other, "--control-listen", "127.0.0.1:0"}), 1, other);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(other), {}), 1);
  ExpectOneLine(RunOncegate({"serve", "--data-dir", other + "/precious.txt", "--control-listen", "127.0.0.1:0"}), 1,
                other);
  ExpectOneLine(RunOncegate({"serve", "--data-dir", "/proc/oncegate", "--control-listen", "127.0.0.1:0"}), 1,
                "/proc/oncegate");
}

TEST_F(CommandE2e, EveryBadFlagValueIsOneClearLine) {
  const std::vector<std::vector<std::string>> bad = {
      {"--no-such-flag"},
      {"--ttl", "5"},
      {"--ttl", "0s"},
      {"--listen", "8080"},
      {"--listen", "127.0.0.1:99999"},
      {"--control-listen", "0.0.0.0:0"},
      {"--upstream", "ftp://host"},
      {"--upstream", "localhost:3000"},
      {"--mode", "websocket"},
      {"--dedupe", "maybe"},
      {"--scope", "a b"},
      {"--key-header", "Bad Header"},
      {"--key-pointer", "id"},
      {"--methods", "POST,HEAD"},
      {"--methods", ""},
      {"--label", "order"},
      {"--on-missing-key", "ignore"},
      {"--on-mismatch", "x"},
      {"--on-in-flight", "x"},
      {"--on-unknown", "x"},
      {"--final-status", "2x"},
      {"--unknown-status", "abc"},
      {"--busy-status", "200"},
      {"--upstream-timeout", "-1s"},
      {"--connect-timeout", "soon"},
      {"--on-store-error", "x"},
      {"--durability", "fsync"},
      {"--max-body", "10MB"},
      {"--max-connections", "0"},
      {"--max-in-flight", "x"},
      {"--workers", "0"},
      {"--cleanup-interval", "x"},
      {"--log-format", "xml"},
      {"--log-level", "loud"},
      {"--config", "/no/such/file"},
      {"--control-token-file", "/no/such/file"},
      {"--provider", "nobody"},
      {"--routes", "x"},  // not built yet: unknown, never silently ignored
      {"--tls-cert", "x"},
      {"--rate-limit", "5"},
      {"--rate-burst", "5"},
      {"--trusted-proxy", "10.0.0.1/8"},
      {"--restored", "maybe"},
      {"stray"},
  };
  for (const std::vector<std::string>& flags : bad) {
    SCOPED_TRACE(flags.front() + (flags.size() > 1 ? " " + flags[1] : ""));
    std::vector<std::string> arguments{"serve", "--data-dir", dir_ / "data"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const std::string named = flags.front() == "stray" ? "stray" : flags.front();
    ExpectOneLine(RunOncegate(arguments), 2, named);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "data"));
  }
}

TEST_F(CommandE2e, WithoutAServerTheCommandsSaySo) {
  for (const char* command : {"stats", "list", "cleanup"})
    ExpectOneLine(RunOncegate({command, "--control", "http://127.0.0.1:1"}), 1, "127.0.0.1:1");
}

TEST_F(CommandE2e, TheControlListenerAsksForTheToken) {
  std::ofstream(dir_ / "tokens") << "# operators\nalice:s3cret-token-of-alice\n";
  Serve({"--control-token-file", dir_ / "tokens"});
  ExpectOneLine(Run({"stats"}), 1, "asks for a token");
  EXPECT_EQ(Run({"stats", "--control-token-file", dir_ / "tokens"}).exit_code, 0);
}

// The drill of docs/backup: back up a server under use, lose it, restore, decide.
TEST_F(CommandE2e, ARestoredStoreAsksForADecisionAndThenKeepsToIt) {
  Serve();
  Deliver("before");
  const std::string backups = dir_ / "backups";
  const CommandResult backup = Run({"backup", backups, "--keep", "3", "--json"});
  EXPECT_NE(backup.out.find(R"({"id":1,)"), std::string::npos) << backup.out << backup.err;
  EXPECT_EQ(Run({"verify"}).exit_code, 0);
  Deliver("after");
  server_.reset();

  const std::string data = dir_ / "restored";
  const CommandResult restore = RunOncegate({"restore", backups, "--data-dir", data});
  EXPECT_EQ(restore.exit_code, 0) << restore.err;
  ExpectOneLine(RunOncegate({"restore", backups, "--data-dir", data}), 1, "not empty");
  ExpectOneLine(RunOncegate({"serve", "--data-dir", data, "--control-listen", "127.0.0.1:0"}), 1, "--restored hold");
  EXPECT_EQ(RunOncegate({"verify", "--data-dir", data}).exit_code, 0);

  const auto deliver = [this](const std::string& key) {
    RawClient client(server_->gateway_port());
    client.Send("POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\nContent-Length: 2\r\n\r\n{}");
    return client.Receive().status;
  };
  for (const char* policy : {"hold", "accept"}) {
    server_ = std::make_unique<ServeProcess>(
        std::vector<std::string>{"--upstream", app_.url(), "--data-dir", data, "--restored", policy});
    ASSERT_TRUE(server_->listening()) << server_->Err();
    EXPECT_EQ(deliver("before"), 200) << policy;
    EXPECT_EQ(deliver("after"), std::string(policy) == "hold" ? 503 : 200) << policy;
    EXPECT_NE(Run({"stats", "--json"}).out.find(R"("restored":{"policy":")" + std::string(policy)), std::string::npos);
    server_.reset();
  }
  EXPECT_EQ(app_.Executions("before"), 1);
  EXPECT_EQ(app_.Executions("after"), 2);
}

TEST_F(CommandE2e, RecordsGoOutAsLinesAndComeInAgain) {
  Serve();
  for (int i = 0; i < 30; ++i) Deliver("evt_" + std::to_string(i));
  const CommandResult exported = Run({"export"});
  EXPECT_EQ(std::count(exported.out.begin(), exported.out.end(), '\n'), 30) << exported.err;
  server_.reset();
  EXPECT_EQ(RunOncegate({"export", "--data-dir", dir_ / "data"}).out.size(), exported.out.size());

  const std::string file = dir_ / "records.ndjson";
  std::ofstream(file) << exported.out << "nonsense\n";
  server_ =
      std::make_unique<ServeProcess>(std::vector<std::string>{"--upstream", app_.url(), "--data-dir", dir_ / "other"});
  ASSERT_TRUE(server_->listening()) << server_->Err();
  const CommandResult imported = Run({"import", file});
  EXPECT_EQ(imported.exit_code, 1);
  EXPECT_EQ(imported.out, "imported 30, known already 0, expired 0, rejected 1\n");
  EXPECT_NE(imported.err.find("line 31: "), std::string::npos) << imported.err;
  for (int i = 0; i < 30; ++i) Deliver("evt_" + std::to_string(i));
  EXPECT_EQ(app_.Executions("evt_7"), 1);
  EXPECT_EQ(Run({"import", file}).out, "imported 0, known already 30, expired 0, rejected 1\n");
}

// A line then has more than the other requests of the control listener may have.
TEST_F(CommandE2e, RecordsWithLargeBodiesComeInAgain) {
  Serve();
  std::string body(6 << 20, '\0');  // as JSON it is three times as long, or base64
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7);
  Deliver("small", "", "{}");
  Deliver("large", "", body);
  Deliver("small_too", "", "{}");
  const CommandResult exported = Run({"export"});
  EXPECT_GT(exported.out.size(), body.size());
  const std::string file = dir_ / "records.ndjson";
  std::ofstream(file) << exported.out;
  server_ =
      std::make_unique<ServeProcess>(std::vector<std::string>{"--upstream", app_.url(), "--data-dir", dir_ / "other"});
  ASSERT_TRUE(server_->listening()) << server_->Err();
  const CommandResult imported = Run({"import", file});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_EQ(imported.out, "imported 3, known already 0, expired 0, rejected 0\n");
  EXPECT_EQ(Run({"export"}).out.size(), exported.out.size());
  Deliver("large", "", body);
  EXPECT_EQ(app_.Executions("large"), 1);
}

}  // namespace
}  // namespace oncegate

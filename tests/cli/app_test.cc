#include "cli/app.h"

#include <gtest/gtest.h>

#include <sstream>

namespace oncegate::cli {
namespace {

struct Ran {
  int exit_code = 0;
  std::string out;
  std::string err;
};

Ran RunWith(const Arguments& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const int exit_code = Run(arguments, {out, err});
  return {exit_code, out.str(), err.str()};
}

TEST(AppTest, WithoutACommandItHelpsAndFails) {
  const Ran none = RunWith({});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.err.find("Usage: oncegate COMMAND"), std::string::npos) << none.err;
  const Ran help = RunWith({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(help.out.find("serve"), std::string::npos) << help.out;
}

TEST(AppTest, WrongUseEndsWithOneLineAndExitCode2) {
  struct Row {
    Arguments arguments;
    std::string wanted;
  };
  const Row rows[] = {
      {{"bogus"}, "oncegate: 'bogus' is no command; see 'oncegate --help'\n"},
      {{"serve", "--nope"}, "oncegate: '--nope' is no flag; see 'oncegate serve --help'\n"},
      {{"serve", "--nope=1"}, "oncegate: '--nope=1' is no flag; see 'oncegate serve --help'\n"},
      {{"serve", "--routes", "x"}, "oncegate: '--routes' is no flag; see 'oncegate serve --help'\n"},
      {{"serve", "extra"}, "oncegate: 'extra' is not expected; see 'oncegate serve --help'\n"},
      {{"serve", "--ttl"}, "oncegate: --ttl: needs one value; see 'oncegate serve --help'\n"},
      {{"serve", "--ttl", "x"}, "oncegate: --ttl: 'x' is not a duration such as 500ms, 30s, 5m, 24h or 7d\n"},
      {{"serve", "--ttl=1s", "--ttl=2s"}, "oncegate: --ttl: given twice\n"},
      {{"serve", "--dedupe", "shadow"}, "oncegate: --dedupe: 'shadow' is not on or off\n"},
      {{"serve", "--control-listen", "0.0.0.0:0"},
       "oncegate: --control-listen: '0.0.0.0' needs --control-token-file; only a loopback address such as 127.0.0.1 "
       "does not\n"},
      {{"get"}, "oncegate: KEY is missing; see 'oncegate get --help'\n"},
      {{"get", "a", "b"}, "oncegate: 'b' is not expected; see 'oncegate get --help'\n"},
      {{"list", "--control", "localhost:1"},
       "oncegate: --control: 'localhost:1' is not http://host:port or https://host:port\n"},
      {{"list", "--control", "https://localhost:1/prefix"},
       "oncegate: --control: 'https://localhost:1/prefix' is not http://host:port or https://host:port\n"},
      {{"stats", "--control-token-file", "/no/such"}, "oncegate: --control-token-file: '/no/such' cannot be read\n"},
      {{"cleanup", "--data-dir", "x"}, "oncegate: '--data-dir' is no flag; see 'oncegate cleanup --help'\n"},
      {{"stats", "--data-dir", "x", "--control", "http://localhost:1"},
       "oncegate: --control excludes --data-dir; see 'oncegate stats --help'\n"},
  };
  for (const Row& row : rows) {
    const Ran ran = RunWith(row.arguments);
    EXPECT_EQ(ran.exit_code, 2) << row.wanted;
    EXPECT_EQ(ran.err, row.wanted);
    EXPECT_EQ(ran.out, "") << row.wanted;
  }
}

TEST(AppTest, HelpOfServeGroupsFlagsAndShowsDefaults) {
  const Ran ran = RunWith({"serve", "--help"});
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* wanted :
       {"Listeners:", "Policies:", "--ttl DURATION=24h", "--listen HOST:PORT=127.0.0.1:8080", "SIGHUP"})
    EXPECT_NE(ran.out.find(wanted), std::string::npos) << wanted << "\n" << ran.out;
  EXPECT_EQ(ran.out.find("--routes"), std::string::npos);
}

TEST(AppTest, VersionNamesTheLibraries) {
  const Ran ran = RunWith({"version"});
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* wanted :
       {"oncegate ", "build ", "rocksdb ", "httplib ", "simdjson ", "cli11 ", "openssl ", "spdlog "})
    EXPECT_NE(ran.out.find(wanted), std::string::npos) << wanted << "\n" << ran.out;
  EXPECT_EQ(RunWith({"--version"}).out, ran.out);
}

TEST(AppTest, ASilentServerAndAMissingStoreAreFailuresNotUsage) {
  const Ran server = RunWith({"stats", "--control", "http://127.0.0.1:1"});
  EXPECT_EQ(server.exit_code, 1);
  EXPECT_EQ(server.err, "oncegate: no server answers at http://127.0.0.1:1\n");
  const Ran store = RunWith({"list", "--data-dir", testing::TempDir() + "/no_such_store"});
  EXPECT_EQ(store.exit_code, 1);
  EXPECT_EQ(store.err.rfind("oncegate: ", 0), 0U) << store.err;
  EXPECT_EQ(std::count(store.err.begin(), store.err.end(), '\n'), 1) << store.err;
}

}  // namespace
}  // namespace oncegate::cli

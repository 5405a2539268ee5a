#include "cli/app.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/temp_path.h"

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

TEST(AppTest, CheckSaysKeyVerdictAndTheFirstMistake) {
  const auto write = [](const std::string& name, const std::string& text) {
    std::ofstream(TempPath(name), std::ios::binary) << text;
    return TempPath(name);
  };
  const std::string head =
      "POST /hook HTTP/1.1\r\nX-GitHub-Delivery: d1\r\nX-GitHub-Event: push\r\n"
      "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\r\n\r\n";
  const std::string request = write("request", head + "Hello, World!");
  const std::string secret = write("secret", "It's a Secret to Everybody\n");
  const Ran valid = RunWith({"check", "--provider", "github", "--secret-file", secret, "--json", request});
  EXPECT_EQ(valid.exit_code, 0) << valid.err;
  EXPECT_EQ(valid.out,
            "{\"provider\":\"github\",\"key\":\"d1\",\"type\":\"push\",\"verdict\":\"valid\",\"code\":null,"
            "\"reason\":\"the signature is right\"}\n");

  struct Row {
    std::string secret;
    std::string request;
    std::string wanted;
  };
  const Row rows[] = {
      {"It's a Secret to Everybody ", head + "Hello, World!", "the secret file has blanks"},
      {"It's a Secret to Everybody", head + "Hello, World!\n", "a line break that was not signed"},
      {"another", head + "Hello, World!", "not one that these secrets make"},
      {"another", "POST / HTTP/1.1\n\nHello", "X-Hub-Signature-256 is missing"},
  };
  for (const Row& row : rows) {
    const Ran ran = RunWith({"check", "--provider", "github", "--secret-file", write("secret", row.secret), "--json",
                             write("request", row.request)});
    EXPECT_EQ(ran.exit_code, 1) << ran.err;
    EXPECT_NE(ran.out.find(row.wanted), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("\"code\":\"signature-invalid\""), std::string::npos) << ran.out;
  }
  for (const Arguments& unusable : {Arguments{"check", "--provider", "github", "--secret-file", secret, "/nowhere"},
                                    Arguments{"check", "--provider", "nobody", "--secret-file", secret, request},
                                    Arguments{"check", "--provider", "github", request},
                                    Arguments{"check", "--provider", "github", "--secret-file", secret, secret}})
    EXPECT_EQ(RunWith(unusable).exit_code, 2) << unusable.back();
}

TEST(AppTest, CheckTakesWhatCurlWouldHaveBeenGiven) {
  const auto write = [](const std::string& name, const std::string& text) {
    std::ofstream(TempPath(name), std::ios::binary) << text;
    return TempPath(name);
  };
  const std::string secret = write("secret", "It's a Secret to Everybody\n");
  const std::string body = write("body", "Hello, World!");
  const std::string lines = write("lines", "Hello, \r\nWorld!\n");
  const Arguments github{
      "check",    "--provider",
      "github",   "--secret-file",
      secret,     "--json",
      "--header", "X-GitHub-Delivery: d1",
      "-H",       "X-Hub-Signature-256:sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"};
  const auto with = [](Arguments arguments, const Arguments& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  for (const Arguments& more :
       {Arguments{"-d", "Hello, World!"}, Arguments{"--data-binary", "@" + body}, Arguments{"-d", "@" + lines},
        Arguments{"--data", "Hello, World!", "-X", "POST", "--url", "https://x.example/hook?a=b"}}) {
    const Ran ran = RunWith(with(github, more));
    EXPECT_EQ(ran.exit_code, 0) << more[0] << ran.err << ran.out;
    EXPECT_NE(ran.out.find("\"key\":\"d1\""), std::string::npos) << ran.out;
  }
  EXPECT_EQ(RunWith(with(github, {"--data-binary", "@" + lines})).exit_code, 1) << "line ends are bytes of the body";
  EXPECT_EQ(RunWith(with(github, {"-d", "[\"a\"]"})).exit_code, 1);

  // Twilio signs the address, and a form's fields.
  const Arguments twilio{"check",
                         "--provider",
                         "twilio",
                         "--secret-file",
                         write("twilio", "12345\n"),
                         "-H",
                         "X-Twilio-Signature: L/OH5YylLD5NRKLltdqwSvS0BnU=",
                         "--url",
                         "https://example.com/myapp.php?foo=1&bar=2"};
  const Arguments fields{"-d", "CallSid=CA1234567890ABCDE",
                         "-d", "Caller=%2B14158675310",
                         "-d", "Digits=1234&From=%2B14158675310&To=%2B18005551212"};
  const Ran twilio_ran = RunWith(with(twilio, fields));
  EXPECT_EQ(twilio_ran.exit_code, 0) << twilio_ran.out << twilio_ran.err;
  EXPECT_EQ(RunWith(with(with(twilio, fields), {"--public-url", "https://other.example"})).exit_code, 1);

  struct Row {
    Arguments more;
    std::string wanted;
  };
  const Row rows[] = {
      {{"-H", "nothing"}, "--header: 'nothing' is not like 'Name: value'"},
      {{"-H", ": x"}, "--header: ': x' is not like 'Name: value'"},
      {{"--url", "example.com/x"}, "--url: 'example.com/x' is not an address"},
      {{"-d", "@/nowhere"}, "'/nowhere' cannot be read"},
      {{"-d", "x", "--data-binary", "y"}, "excludes --data-binary"},
      {{"-d", "x", "request"}, "'request' and flags such as --header are two requests"},
  };
  for (const Row& row : rows) {
    const Ran ran = RunWith(with({"check", "--provider", "github", "--secret-file", secret}, row.more));
    EXPECT_EQ(ran.exit_code, 2) << row.wanted << ran.out;
    EXPECT_NE(ran.err.find(row.wanted), std::string::npos) << row.wanted << ran.err;
  }
}

TEST(AppTest, ProfilesOfOnesOwnAreListedShownAndChecked) {
  const std::string file = TempPath("own_profile.json");
  std::ofstream(file) << R"({"name": "own", "title": "Own", "secret": "none", "keys": [{"parts": ["json:/0/id"]}],
                             "ttl": "9h", "retry_horizon": "8h", "in_flight_wait": "2s", "success": "2xx"})";
  EXPECT_NE(RunWith({"providers", "--provider-file", file}).out.find("own                Own"), std::string::npos);
  EXPECT_NE(RunWith({"providers", "own", "--provider-file", file}).out.find("9h, retries come for 8h"),
            std::string::npos);
  EXPECT_EQ(RunWith({"providers", "own"}).exit_code, 2);
  const Ran checked =
      RunWith({"check", "--provider-file", file, "--provider", "own", "--json", "-d", R"([{"id":"e1"}])"});
  EXPECT_NE(checked.out.find(R"("key":"e1")"), std::string::npos) << checked.out << checked.err;
  std::ofstream(file) << R"({"name": "own", "keyz": 1})";
  for (const char* command : {"providers", "check"}) {
    Arguments arguments{command, "--provider-file", file};
    if (arguments[0] == "check") arguments.insert(arguments.end(), {"--provider", "own"});
    const Ran ran = RunWith(arguments);
    EXPECT_EQ(ran.exit_code, 2) << command;
    EXPECT_EQ(ran.err, "oncegate: --provider-file: '" + file + "': 'keyz': is not known\n");
  }
}

TEST(AppTest, ProvidersListsThemAllAndShowsOne) {
  const Ran all = RunWith({"providers"});
  EXPECT_EQ(all.exit_code, 0);
  EXPECT_NE(all.out.find("whatsapp_meta"), std::string::npos) << all.out;
  EXPECT_NE(RunWith({"providers", "stripe"}).out.find("Stripe-Signature"), std::string::npos);
  EXPECT_EQ(RunWith({"providers", "stripe", "--json"}).out.substr(0, 21), "{\n  \"name\": \"stripe\",");
  EXPECT_EQ(RunWith({"providers", "nobody"}).exit_code, 2);
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
      {{"serve", "--routes", "/no/such"}, "oncegate: --routes: '/no/such' cannot be read\n"},
      {{"serve", "extra"}, "oncegate: 'extra' is not expected; see 'oncegate serve --help'\n"},
      {{"serve", "--ttl"}, "oncegate: --ttl: needs one value; see 'oncegate serve --help'\n"},
      {{"serve", "--ttl", "x"}, "oncegate: --ttl: 'x' is not a duration such as 500ms, 30s, 5m, 24h or 7d\n"},
      {{"serve", "--ttl=1s", "--ttl=2s"}, "oncegate: --ttl: given twice\n"},
      {{"serve", "--dedupe", "maybe"}, "oncegate: --dedupe: 'maybe' is not on, off or shadow\n"},
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

TEST(AppTest, CheckConfigReadsEveryFileAndStartsNothing) {
  const std::string secret = TempPath("check_config_secret");
  const std::string config = TempPath("config.toml");
  const std::string never_made = TempPath("never_made");
  std::ofstream(config) << "upstream = \"http://127.0.0.1:9\"\nprovider = \"github\"\nsecret-file = \"" << secret
                        << "\"\ndata-dir = \"" << never_made << "\"\nttl = \"1h\"\n";
  const Ran missing = RunWith({"serve", "--check-config", "--config", config});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("--secret-file"), std::string::npos) << missing.err;

  std::ofstream(secret) << "s\n";
  const Ran usable = RunWith({"serve", "--check-config", "--config", config});
  EXPECT_EQ(usable.exit_code, 0) << usable.err;
  EXPECT_EQ(usable.out, "the configuration can be used\n");
  EXPECT_NE(usable.err.find("warning: --ttl"), std::string::npos) << usable.err;
  EXPECT_FALSE(std::filesystem::exists(never_made));
}

TEST(AppTest, HelpOfServeGroupsFlagsAndShowsDefaults) {
  const Ran ran = RunWith({"serve", "--help"});
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* wanted :
       {"Listeners:", "Policies:", "--ttl DURATION", "24h", "--listen HOST:PORT", "127.0.0.1:8080", "SIGHUP"})
    EXPECT_NE(ran.out.find(wanted), std::string::npos) << wanted << "\n" << ran.out;
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
  const Ran store = RunWith({"list", "--data-dir", TempPath("no_such_store")});
  EXPECT_EQ(store.exit_code, 1);
  EXPECT_EQ(store.err.rfind("oncegate: ", 0), 0U) << store.err;
  EXPECT_EQ(std::count(store.err.begin(), store.err.end(), '\n'), 1) << store.err;
}

}  // namespace
}  // namespace oncegate::cli

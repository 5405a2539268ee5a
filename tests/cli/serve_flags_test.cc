#include "cli/serve_flags.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/units.h"
#include "cli/app.h"
#include "gateway/provider.h"
#include "tests/cli/read_options.h"
#include "tests/support/temp_path.h"

namespace oncegate::cli {
namespace {

TEST(ServeFlagsTest, DefaultsAreThoseOfTheContract) {
  const ServeOptions o = MustRead({});
  EXPECT_EQ(o.ingress.listen.size(), 1U);
  EXPECT_EQ(o.ingress.listen[0].port, 8080);
  EXPECT_EQ(o.control_listen.port, 8081);
  EXPECT_FALSE(o.upstream);
  EXPECT_EQ(o.store.directory, "./oncegate-data");
  EXPECT_EQ(o.store.durability, Durability::kSync);
  EXPECT_EQ(o.store.cleanup_interval_ms, 60'000);
  EXPECT_EQ(o.store.cache_bytes, 128 << 20);
  EXPECT_EQ(o.store.memtable_bytes, 64 << 20);
  EXPECT_EQ(o.route.scope, "default");
  EXPECT_EQ(o.route.dedupe, Dedupe::kOn);
  EXPECT_EQ(o.route.key_headers, (std::vector<std::string>{"X-Idempotency-Key", "Idempotency-Key"}));
  EXPECT_EQ(o.route.methods, (std::vector<std::string>{"POST", "PATCH"}));
  EXPECT_EQ(o.route.type, "webhook");
  EXPECT_EQ(o.route.ttl_ms, 86'400'000);
  EXPECT_EQ(o.route.on_missing_key, MissingKeyPolicy::kPass);
  EXPECT_EQ(o.route.on_mismatch, MismatchPolicy::kReject);
  EXPECT_EQ(o.route.on_in_flight, InFlightPolicy::kWait);
  EXPECT_EQ(o.route.in_flight_wait_ms, 5000);
  EXPECT_EQ(o.route.on_unknown, UnknownPolicy::kHold);
  EXPECT_EQ(o.route.on_store_error, StoreErrorPolicy::kReject);
  EXPECT_TRUE(o.route.final_status == StatusSet::DefaultFinal(Mode::kWebhook));
  EXPECT_TRUE(o.route.unknown_status == *StatusSet::Parse("504"));
  EXPECT_EQ(o.route.busy_status, 409);
  EXPECT_EQ(o.route.upstream_timeout_ms, 120'000);
  EXPECT_EQ(o.connect_timeout_ms, 2000);
  EXPECT_EQ(o.route.max_stored_body, 1 << 20);
  EXPECT_TRUE(o.route.store_request_body);
  EXPECT_EQ(o.ingress.max_body, 10 << 20);
  EXPECT_EQ(o.ingress.max_connections, 10'000U);
  EXPECT_EQ(o.ingress.request_timeout_ms, 30'000);
  EXPECT_EQ(o.ingress.idle_timeout_ms, 75'000);
  EXPECT_EQ(o.limits.max_in_flight, 1024U);
  EXPECT_EQ(o.limits.workers, 64U);
  EXPECT_EQ(o.max_buffered, 512 << 20);
  EXPECT_EQ(o.drain_timeout_ms, 30'000);
  EXPECT_EQ(o.log_format, LogFormat::kText);
  EXPECT_EQ(o.log_level, LogLevel::kInfo);
  EXPECT_TRUE(o.warnings.empty());
}

TEST(ServeFlagsTest, BadValuesAreNamedWithWhatWouldBeRight) {
  struct Row {
    std::string flag;
    std::string value;
    std::string wanted;
  };
  const std::string duration = "is not a duration such as 500ms, 30s, 5m, 24h or 7d";
  const std::string size = "is not a size such as 4096, 64KiB, 10MiB or 1GiB";
  const Row rows[] = {
      {"listen", "8080", "'8080' is not HOST:PORT"},
      {"listen", "127.0.0.1:99999", "is not HOST:PORT"},
      {"control-listen", "localhost", "is not HOST:PORT"},
      {"control-listen", "0.0.0.0:8081", "'0.0.0.0' needs --control-token-file"},
      {"control-listen", "[::]:8081", "'::' needs --control-token-file"},
      {"control-token-file", "/no/such/file", "'/no/such/file' cannot be read"},
      {"control-token-file", "", "'' is not the name of a file"},
      {"tls-cert", "/no/such/file", "needs --tls-key"},
      {"tls-key", "/no/such/file", "needs --tls-cert"},
      {"trusted-proxy", "proxy.example", "'proxy.example' is not an address or a network such as 10.0.0.0/8"},
      {"trusted-proxy", "10.1.0.0/8", "the network is 10.0.0.0/8"},
      {"rate-limit", "100", "'100' is not a number of requests a second such as 100/s"},
      {"rate-limit", "0/s", "such as 100/s"},
      {"rate-limit", "1.5/s", "such as 100/s"},
      {"rate-limit", "/s", "such as 100/s"},
      {"rate-limit", "5/m", "such as 100/s"},
      {"rate-burst", "0", "'0' is not a number from 1 to 1000000"},
      {"rate-burst", "10", "needs --rate-limit"},
      {"upstream", "localhost:3000", "'localhost:3000'"},
      {"upstream", "ftp://app", "'ftp://app'"},
      {"upstream-ca", "ca.pem", "needs an --upstream that begins with https://"},
      {"upstream-timeout", "x", "'x' " + duration},
      {"upstream-timeout", "0s", "'0s' is not within 1ms and 1d"},
      {"connect-timeout", "1h", "'1h' is not within 1ms and 5m"},
      {"scope", "a b", "is not 1 to 64 characters"},
      {"scope", "", "is not 1 to 64 characters"},
      {"scope-header", "Bad Header", "is not the name of a header"},
      {"key-header", "", "is not the name of a header"},
      {"key-pointer", "id", "'id'"},
      {"methods", "", "is not a list of methods"},
      {"methods", "POST,,PUT", "is not a list of methods"},
      {"methods", "POST,HEAD", "'HEAD' cannot be de-duplicated"},
      {"methods", "CONNECT", "'CONNECT' cannot be de-duplicated"},
      {"methods", "TRACE", "'TRACE' cannot be de-duplicated"},
      {"type", "two words", "is not a word"},
      {"type-header", "a:b", "is not the name of a header"},
      {"type-pointer", "x", "'x'"},
      {"label", "order", "is not NAME=POINTER"},
      {"label", "=/id", "is not NAME=POINTER"},
      {"label", "a b=/id", "is not NAME=POINTER"},
      {"label", "id=id", "'id'"},
      {"mode", "proxy", "'proxy' is not webhook or api"},
      {"dedupe", "maybe", "'maybe' is not on, off or shadow"},
      {"ttl", "24", "'24' " + duration},
      {"ttl", "-1s", "'-1s' " + duration},
      {"ttl", "0s", "'0s' is not within 1ms and 3650d"},
      {"ttl", "4000d", "is not within"},
      {"on-missing-key", "drop", "'drop' is not pass, reject or hash"},
      {"on-mismatch", "x", "'x' is not reject or replay"},
      {"on-in-flight", "x", "'x' is not wait or reject"},
      {"in-flight-wait", "2h", "is not within 0s and 1h"},
      {"on-unknown", "x", "'x' is not hold or release"},
      {"final-status", "2xy", "is not a list of statuses such as"},
      {"unknown-status", "", "is not a list of statuses such as"},
      {"busy-status", "399", "'399' is not a number from 400 to 599"},
      {"busy-status", "600", "is not a number from 400 to 599"},
      {"busy-status", "503x", "is not a number from 400 to 599"},
      {"on-store-error", "x", "'x' is not reject or forward"},
      {"store-request-body", "yes", "'yes' is not on or off"},
      {"max-body", "1MB", "'1MB' " + size},
      {"max-body", "0", "is not within 1B and 1GiB"},
      {"max-stored-body", "2GiB", "is not within 0B and 1GiB"},
      {"max-connections", "0", "is not a number from 1 to 1000000"},
      {"max-in-flight", "1.5", "is not a number from 1 to"},
      {"workers", "10000", "is not a number from 1 to 4096"},
      {"max-buffered", "1KiB", "is not within 1MiB and"},
      {"max-buffered", "5MiB", "is smaller than one request of --max-body (10MiB)"},
      {"request-timeout", "", "'' " + duration},
      {"idle-timeout", "2d", "is not within 1ms and 1d"},
      {"drain-timeout", "2h", "is not within 0s and 1h"},
      {"data-dir", "", "is not the name of a file or directory"},
      {"durability", "none", "'none' is not sync or async"},
      {"cleanup-interval", "30d", "is not within 0s and 7d"},
      {"cache-size", "1", "is not within 1MiB and"},
      {"memtable-size", "8GiB", "is not within 1MiB and 4GiB"},
      {"log-format", "xml", "'xml' is not text or json"},
      {"log-level", "trace", "'trace' is not debug, info, warn or error"},
  };
  for (const Row& row : rows) {
    const Result<ServeOptions> options = Read({{row.flag, {row.value}}});
    ASSERT_FALSE(options.ok()) << row.flag << " " << row.value;
    const std::string message = options.status().message();
    EXPECT_EQ(message.rfind("--" + row.flag + ": ", 0), 0U) << row.value << ": " << message;
    EXPECT_NE(message.find(row.wanted), std::string::npos) << row.value << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(ServeFlagsTest, EveryFlagHasHelpAGroupAndADefaultThatItAccepts) {
  for (const ServeFlag& flag : ServeFlags()) {
    EXPECT_FALSE(flag.help.empty() || flag.group.empty() || flag.value.empty()) << flag.name;
    if (flag.repeatable || flag.default_text.empty()) continue;
    EXPECT_TRUE(Read({{std::string(flag.name), {std::string(flag.default_text)}}}).ok()) << flag.name;
  }
}

TEST(ServeFlagsTest, GivenKeyHeadersReplaceTheDefaultsAndAPointerAloneTurnsThemOff) {
  EXPECT_EQ(MustRead({{"key-header", {"X-Event", "X-Id"}}}).route.key_headers,
            (std::vector<std::string>{"X-Event", "X-Id"}));
  const ServeOptions pointer = MustRead({{"key-pointer", {"/id", "/a/b"}}});
  EXPECT_TRUE(pointer.route.key_headers.empty());
  ASSERT_EQ(pointer.route.key_pointers.size(), 2U);
  EXPECT_EQ(pointer.route.key_pointers[1].text(), "/a/b");
  EXPECT_EQ(MustRead({{"key-pointer", {"/id"}}, {"key-header", {"X-Id"}}}).route.key_headers,
            std::vector<std::string>{"X-Id"});
}

TEST(ServeFlagsTest, ModeSetsTheFinalStatusesUnlessTheyAreGiven) {
  EXPECT_TRUE(MustRead({{"mode", {"api"}}}).route.final_status == StatusSet::DefaultFinal(Mode::kApi));
  EXPECT_TRUE(MustRead({{"mode", {"api"}}, {"final-status", {"200"}}}).route.final_status == *StatusSet::Parse("200"));
  EXPECT_TRUE(MustRead({{"unknown-status", {"none"}}}).route.unknown_status == StatusSet());
  EXPECT_EQ(MustRead({{"mode", {"api"}}}).warnings.size(), 1U);
  EXPECT_TRUE(MustRead({{"mode", {"api"}}, {"scope-header", {"Authorization"}}}).warnings.empty());
}

TEST(ServeFlagsTest, AProviderSetsPoliciesThatFlagsOverrule) {
  const std::string secret = WriteTempFile("secret", "hush\n");
  const Route route = MustRead({{"provider", {"hubspot"}}, {"secret-file", {secret}}}).route;
  ASSERT_NE(route.provider, nullptr);
  EXPECT_TRUE(route.provider->verifier.has_value());
  EXPECT_TRUE(route.key_headers.empty());
  EXPECT_EQ(route.methods, std::vector<std::string>{"POST"});
  EXPECT_EQ(route.on_mismatch, MismatchPolicy::kReplay) << "HubSpot's body changes between retries";
  EXPECT_EQ(FormatDurationMs(route.ttl_ms), "2d");
  EXPECT_EQ(route.in_flight_wait_ms, 3000);
  const Route twilio = MustRead({{"provider", {"twilio"}}, {"secret-file", {secret}}}).route;
  EXPECT_EQ(twilio.busy_status, 503);
  EXPECT_EQ(twilio.connect_retry_ms, 10'000) << "Twilio does not come again";

  const ServeOptions own = MustRead({{"provider", {"hubspot"}},
                                     {"secret-file", {secret}},
                                     {"ttl", {"1h"}},
                                     {"on-mismatch", {"reject"}},
                                     {"key-pointer", {"/id"}},
                                     {"methods", {"PUT"}}});
  EXPECT_EQ(own.route.on_mismatch, MismatchPolicy::kReject);
  EXPECT_FALSE(own.route.provider->makes_keys);
  EXPECT_EQ(own.route.methods, std::vector<std::string>{"PUT"});
  ASSERT_EQ(own.warnings.size(), 1U);
  EXPECT_NE(own.warnings[0].find("shorter than the 1d"), std::string::npos) << own.warnings[0];

  const ServeOptions shadow = MustRead({{"provider", {"hubspot"}}, {"secret-file", {secret}}, {"dedupe", {"shadow"}}});
  ASSERT_EQ(shadow.warnings.size(), 1U);
  EXPECT_NE(shadow.warnings[0].find("has not signed"), std::string::npos) << shadow.warnings[0];
}

TEST(ServeFlagsTest, ImpossibleProvidersAreRefusedWithoutShowingSecrets) {
  const std::string secret = WriteTempFile("secret", "hush hush\n");
  struct Row {
    Given flags;
    std::string wanted;
  };
  const Row rows[] = {
      {{{"provider", {"strip"}}}, "--provider: 'strip' is not known"},
      {{{"provider", {"stripe"}}}, "--provider stripe: needs --secret-file"},
      {{{"secret-file", {secret}}}, "--secret-file: needs --provider"},
      {{{"public-url", {"https://x"}}}, "--public-url: needs --provider"},
      {{{"provider", {"github"}}, {"secret-file", {secret}}, {"tolerance", {"5m"}}},
       "--tolerance: GitHub signs no time"},
      {{{"provider", {"cloudevents"}}, {"secret-file", {secret}}},
       "--secret-file: CloudEvents requests are not signed"},
      {{{"provider", {"svix"}}, {"secret-file", {secret}}}, "--secret-file: secret 1 of the file is not of a form"},
      {{{"provider", {"stripe"}}, {"secret-file", {WriteTempFile("empty", "\n")}}},
       "--secret-file: the file holds no secret"},
      {{{"provider", {"stripe"}}, {"secret-file", {"/nowhere"}}}, "--secret-file: '/nowhere' cannot be read"},
      {{{"provider", {"stripe"}}, {"secret-file", {secret}}, {"public-url", {"x.example"}}},
       "--public-url: 'x.example'"},
      {{{"redact", {"phone"}}}, "--redact: 'phone' is not a JSON pointer"},
      {{{"redact", {"/a"}}, {"label", {"a=/a"}}}, "--redact: '/a' is stored as label a"},
      {{{"redact", {"/a"}}, {"label", {"a=/a/b"}}}, "--redact: '/a/b' is stored as label a"},
      {{{"redact", {"/a/*/c"}}, {"key-pointer", {"/a/0/c"}}}, "--redact: '/a/0/c' is the key"},
      {{{"redact", {"/a"}}, {"type-pointer", {"/a"}}}, "--redact: '/a' is the type"},
      {{{"provider", {"stripe"}}, {"secret-file", {secret}}, {"redact", {"/id"}}},
       "--redact: names a part of the key that the profile of Stripe makes"},
      {{{"provider", {"twilio"}}, {"secret-file", {secret}}, {"redact", {"form:CallSid"}}},
       "--redact: names a part of the key that the profile of Twilio makes"},
  };
  for (const Row& row : rows) {
    const Result<ServeOptions> options = Read(row.flags);
    EXPECT_FALSE(options.ok()) << row.wanted;
    EXPECT_EQ(options.status().message().substr(0, row.wanted.size()), row.wanted) << options.status().message();
    EXPECT_EQ(options.status().message().find("hush"), std::string::npos) << options.status().message();
  }
}

TEST(ServeFlagsTest, LabelsAreBounded) {
  std::vector<std::string> labels;
  for (size_t i = 0; i < kLabelsMax; ++i) labels.push_back("l" + std::to_string(i) + "=/x");
  EXPECT_EQ(MustRead({{"label", labels}}).route.labels.size(), kLabelsMax);
  labels.emplace_back("more=/x");
  EXPECT_EQ(Read({{"label", labels}}).status().message(), "--label: more than 16 of them");
  EXPECT_EQ(Read({{"label", {"a=/x", "a=/y"}}}).status().message(), "--label: 'a' is given twice");
  EXPECT_EQ(Read({{"ttl", {"1s", "2s"}}}).status().message(), "--ttl: given twice");
}

TEST(ServeFlagsTest, TheUpstreamGoesIntoTheRoute) {
  const ServeOptions options = MustRead({{"upstream", {"http://app:3000/api"}}});
  EXPECT_EQ(options.route.upstream_prefix, "/api");
  EXPECT_EQ(options.route.upstream_authority, "app:3000");
}

TEST(ServeFlagsTest, ABurstIsOneSecondsWorthUnlessItIsGiven) {
  EXPECT_EQ(MustRead({}).ingress.rate_limit.per_second, 0);
  EXPECT_EQ(MustRead({{"rate-limit", {"50/s"}}}).ingress.rate_limit.burst, 50);
  const ServeOptions both = MustRead({{"rate-limit", {"50/s"}}, {"rate-burst", {"7"}}});
  EXPECT_EQ(both.ingress.rate_limit.per_second, 50);
  EXPECT_EQ(both.ingress.rate_limit.burst, 7);
}

TEST(ServeFlagsTest, TrustedProxiesAddUp) {
  EXPECT_EQ(MustRead({{"trusted-proxy", {"10.0.0.0/8", "::1"}}}).ingress.trusted_proxies.size(), 2U);
}

TEST(ServeFlagsTest, TokensOpenOtherAddresses) {
  const std::string file = WriteTempFile("tokens", "ops:abc\n");
  const ServeOptions options = MustRead({{"control-listen", {"0.0.0.0:0"}}, {"control-token-file", {file}}});
  EXPECT_EQ(options.control_tokens.size(), 1U);
}

TEST(FlagSourcesTest, FlagsBeatVariablesBeatTheFile) {
  const std::string file = WriteTempFile("order.toml",
                                         "# comment\nttl = \"1h\"\nmax-body = 1MiB\nworkers = 3\n"
                                         "key-header = [\"A\", \"B\"]\nmethods = \"PUT,POST\"\n");
  const Variables variables{{"ONCEGATE_CONFIG", file}, {"ONCEGATE_TTL", "2h"}, {"ONCEGATE_MAX_BODY", "2MiB"}};
  const ServeOptions all = MustRead({{"ttl", {"3h"}}}, variables);
  EXPECT_EQ(FormatDurationMs(all.route.ttl_ms), "3h");
  EXPECT_EQ(FormatSizeBytes(all.ingress.max_body), "2MiB");
  EXPECT_EQ(all.limits.workers, 3U);
  EXPECT_EQ(all.route.key_headers, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(all.route.methods, (std::vector<std::string>{"PUT", "POST"}));
  EXPECT_EQ(FormatDurationMs(MustRead({}, variables).route.ttl_ms), "2h");
  EXPECT_EQ(FormatDurationMs(MustRead({{"config", {file}}}).route.ttl_ms), "1h");
}

TEST(FlagSourcesTest, VariablesOfRepeatableFlagsHoldLists) {
  EXPECT_EQ(MustRead({}, {{"ONCEGATE_KEY_HEADER", "A,B"}}).route.key_headers, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(MustRead({}, {{"ONCEGATE_LISTEN", "127.0.0.1:1,127.0.0.1:2"}}).ingress.listen.size(), 2U);
  EXPECT_EQ(MustRead({}, {{"ONCEGATE_METHODS", "PUT,POST"}}).route.methods.size(), 2U);
  EXPECT_EQ(MustRead({}, {{"ONCEGATE_TTL", ""}}).route.ttl_ms, 86'400'000) << "an empty variable is none";
}

TEST(FlagSourcesTest, ErrorsNameTheSource) {
  EXPECT_EQ(Read({}, {{"ONCEGATE_BUSY_STATUS", "1"}}).status().message(),
            "ONCEGATE_BUSY_STATUS: '1' is not a number from 400 to 599");
  struct Row {
    std::string text;
    std::string wanted;
  };
  const Row rows[] = {
      {"ttl = never\n", ": ttl: 'never' is not a duration"},
      {"rutes = \"x\"\n", ": rutes: there is no such flag of serve"},
      {"config = \"other\"\n", ": config: there is no such flag of serve"},
      {"[list]\nttl = 1h\n", ": list.ttl: there is no such flag of serve"},
      {"garbage\n", ": garbage: there is no such flag of serve"},
      {"[serve]\nttl = x\n", "ttl: 'x' is not a duration"},
      {"ttl = 1h\nworkers = 2\nttl = 2h\n", "ttl: given twice"},
  };
  for (const Row& row : rows) {
    const std::string file = WriteTempFile("bad.toml", row.text);
    const Result<ServeOptions> options = Read({{"config", {file}}});
    ASSERT_FALSE(options.ok()) << row.text;
    EXPECT_EQ(options.status().message().rfind(file, 0), 0U) << row.text << options.status().message();
    EXPECT_NE(options.status().message().find(row.wanted), std::string::npos) << row.text << options.status().message();
  }
  EXPECT_EQ(Read({{"config", {"/no/such.toml"}}}).status().message(), "--config: '/no/such.toml' cannot be read");
  EXPECT_TRUE(Read({{"config", {WriteTempFile("section.toml", "[serve]\nttl = 1h\n")}}}).ok());
}

TEST(FlagSourcesTest, VariableNamesAreUpperSnakeCase) {
  EXPECT_EQ(VariableName("on-in-flight"), "ONCEGATE_ON_IN_FLIGHT");
}

}  // namespace
}  // namespace oncegate::cli

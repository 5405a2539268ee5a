#include "cli/routes_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "base/units.h"
#include "gateway/provider.h"
#include "gateway/route_table.h"
#include "tests/cli/read_options.h"
#include "tests/support/temp_path.h"

namespace oncegate::cli {
namespace {

class RoutesFileTest : public testing::Test {
 protected:
  Result<ServeOptions> Read(const std::string& json, Given flags = {}) {
    FlagSources sources;
    flags["routes"] = {WriteTempFile("routes.json", json)};
    sources.command_line = std::move(flags);
    sources.variable = [](const char*) -> const char* { return nullptr; };
    return ReadServeOptions(sources);
  }
  ServeOptions MustRead(const std::string& json, Given flags = {}) {
    flags.emplace("upstream", std::vector<std::string>{"http://127.0.0.1:3000"});
    Result<ServeOptions> options = Read(json, std::move(flags));
    EXPECT_TRUE(options.ok()) << options.status().message();
    if (options.ok()) return *std::move(options);
    ServeOptions none;
    none.routes.resize(1);
    return none;
  }
  // What is wrong, less the file's name.
  std::string Error(const std::string& json, Given flags = {}) {
    flags.emplace("upstream", std::vector<std::string>{"http://127.0.0.1:3000"});
    const Result<ServeOptions> options = Read(json, std::move(flags));
    if (options.ok()) return "(none)";
    const std::string message = options.status().message();
    const std::string file = TempPath("routes.json") + ": ";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message.starts_with(file) ? message.substr(file.size()) : message;
  }
  // Of one route with these members.
  std::string ErrorOf(const std::string& members, Given flags = {}) {
    return Error(R"([{"name":"shop","prefix":"/shop")" + (members.empty() ? "" : "," + members) + "}]",
                 std::move(flags));
  }
  Route RouteOf(const std::string& members, Given flags = {}) {
    return MustRead(R"([{"name":"shop","prefix":"/shop")" + (members.empty() ? "" : "," + members) + "}]",
                    std::move(flags))
        .routes[0]
        .route;
  }

  const std::string secret_ = WriteTempFile("secret", "hush hush\n");
};

TEST_F(RoutesFileTest, EveryRouteHasItsOwnValuesAndTheFlagsAsDefaults) {
  const ServeOptions options = MustRead(
      R"({"routes": [
        {"name": "orders", "prefix": "/orders/", "ttl": "2d", "busy-status": 503, "dedupe": false,
         "upstream": "https://orders.example/v2", "connect-timeout": "1s"},
        {"name": "stripe", "path": "/hooks/stripe", "provider": "stripe", "secret-file": ")" +
          secret_ + R"(", "methods": ["POST", "PUT"], "label": {"id": "/id"}, "redact": ["/a", "form:b"]}
      ]})",
      {{"ttl", {"3h"}}, {"on-unknown", {"release"}}, {"upstream-ca", {"ca.pem"}}});
  ASSERT_EQ(options.routes.size(), 2U);
  const RouteOptions& orders = options.routes[0];
  EXPECT_EQ(orders.route.name, "orders");
  EXPECT_EQ(orders.route.scope, "orders");
  EXPECT_EQ(orders.route.prefix, "/orders");
  EXPECT_EQ(FormatDurationMs(orders.route.ttl_ms), "2d");
  EXPECT_EQ(orders.route.busy_status, 503);
  EXPECT_EQ(orders.route.dedupe, Dedupe::kOff);
  EXPECT_EQ(orders.route.on_unknown, UnknownPolicy::kRelease);
  EXPECT_EQ(orders.upstream.host, "orders.example");
  EXPECT_EQ(orders.upstream_ca, "ca.pem");
  EXPECT_EQ(orders.connect_timeout_ms, 1000);
  EXPECT_EQ(orders.route.upstream_prefix, "/v2");
  EXPECT_EQ(orders.route.upstream_authority, "orders.example");
  EXPECT_EQ(orders.route.provider, nullptr);

  const RouteOptions& stripe = options.routes[1];
  EXPECT_EQ(stripe.route.prefix, "/hooks/stripe");
  EXPECT_EQ(FormatDurationMs(stripe.route.ttl_ms), "3h") << "a given flag beats the profile";
  ASSERT_NE(stripe.route.provider, nullptr);
  EXPECT_TRUE(stripe.route.provider->verifier.has_value());
  EXPECT_EQ(stripe.route.methods, (std::vector<std::string>{"POST", "PUT"}));
  EXPECT_EQ(stripe.route.labels.at(0).first, "id");
  EXPECT_EQ(stripe.route.redact_fields, std::vector<std::string>{"b"});
  EXPECT_EQ(stripe.upstream.port, 3000);
  EXPECT_EQ(stripe.upstream_ca, "") << "not for http";
  EXPECT_EQ(stripe.connect_timeout_ms, 2000);
  EXPECT_EQ(FormatDurationMs(options.store.remembered_ms), "2d") << "the longest";
  ASSERT_EQ(options.warnings.size(), 1U);
  EXPECT_NE(options.warnings[0].find("route 'stripe': ttl 3h is shorter than"), std::string::npos)
      << options.warnings[0];
}

TEST_F(RoutesFileTest, NullStandsForWhatHoldsWithoutTheFlag) {
  const Given flags{{"ttl", {"3h"}}, {"provider", {"stripe"}}, {"secret-file", {secret_}}, {"key-pointer", {"/id"}}};
  const Route inherits = RouteOf("", flags);
  EXPECT_EQ(FormatDurationMs(inherits.ttl_ms), "3h");
  EXPECT_NE(inherits.provider, nullptr);
  EXPECT_EQ(inherits.key_pointers.size(), 1U);
  const Route own = RouteOf(R"("ttl":null,"provider":null,"key-pointer":null)", flags);
  EXPECT_EQ(FormatDurationMs(own.ttl_ms), "1d");
  EXPECT_EQ(own.provider, nullptr);
  EXPECT_EQ(own.key_headers.size(), 2U);
}

TEST_F(RoutesFileTest, SecretsAreInheritedOnlyWithTheirProvider) {
  const Given flags{{"provider", {"stripe"}}, {"secret-file", {secret_}}, {"public-url", {"https://x"}}};
  EXPECT_EQ(RouteOf("", flags).provider->profile->name, "stripe");
  EXPECT_EQ(ErrorOf(R"("provider":"github")", flags),
            "route 'shop': provider github: needs secret-file with the secret that it signs with");
  EXPECT_EQ(RouteOf(R"("provider":"github","secret-file":")" + secret_ + "\"", flags).provider->public_url,
            "https://x");
  EXPECT_EQ(Error(R"([{"name":"a","prefix":"/"}])", {{"secret-file", {secret_}}}),
            "--secret-file: needs --provider; routes with one of their own name theirs");
  EXPECT_EQ(Error(R"([{"name":"a","prefix":"/"}])", {{"scope", {"mine"}}}),
            "--scope: with --routes the name of a route is its scope, or a route says otherwise");
}

TEST_F(RoutesFileTest, EveryRouteFlagHasItsPlaceInARouteAndOthersHaveNot) {
  for (const ServeFlag& flag : ServeFlags()) {
    const std::string error = ErrorOf("\"" + std::string(flag.name) + "\":{\"a\":[]}");
    const std::string name(flag.name);
    const std::string wanted = IsRouteFlag(flag) ? "route 'shop': " + name + ": "
                                                 : "route 'shop': '" + name + "' is for all routes: --" + name;
    EXPECT_EQ(error.substr(0, wanted.size()), wanted) << error;
  }
}

TEST_F(RoutesFileTest, WhatIsWrongIsNamedWithFileRouteAndMember) {
  struct Row {
    std::string members;
    std::string wanted;
  };
  const Row rows[] = {
      {R"("tll":"1h")", "'tll' is not known; is 'ttl' meant?"},
      {R"("key_header":"X")", "'key_header' is not known; is 'key-header' meant?"},
      {R"("sharedscope":true)", "'sharedscope' is not known; is 'shared_scope' meant?"},
      {R"("rate":"1")", "'rate' is not known"},
      {R"("":1)", "'' is not known"},
      {R"("max-body":"1MiB")", "'max-body' is for all routes: --max-body"},
      {R"("routes":"x")", "'routes' is for all routes: --routes"},
      {R"("ttl":"1h","ttl":"2h")", "'ttl' is given twice"},
      {R"("path":"/x")", "'path' is given twice"},
      {R"("ttl":24)", "ttl: '24' is not a duration such as 500ms, 30s, 5m, 24h or 7d"},
      {R"("ttl":"never")", "ttl: 'never' is not a duration such as 500ms, 30s, 5m, 24h or 7d"},
      {R"("ttl":"a\nb")", "ttl: 'a b' is not a duration such as 500ms, 30s, 5m, 24h or 7d"},
      {R"("ttl":1.5)", "ttl: '1.5' is not DURATION"},
      {R"("ttl":true)", "ttl: 'true' is not DURATION"},
      {R"("ttl":["1h"])", R"(ttl: '["1h"]' is not DURATION)"},
      {R"("ttl":{})", "ttl: '{}' is not DURATION"},
      {R"("busy-status":200)", "busy-status: '200' is not a number from 400 to 599"},
      {R"("busy-status":18446744073709551615)", "busy-status: '18446744073709551615' is not STATUS"},
      {R"("mode":"proxy")", "mode: 'proxy' is not webhook or api"},
      {R"("methods":[])", "methods: is empty; null stands for what holds without it"},
      {R"("methods":["POST","HEAD"])", "methods: 'HEAD' cannot be de-duplicated; POST, PUT, PATCH and DELETE can"},
      {R"("key-header":[["X"]])", R"(key-header: '["X"]' is not NAME)"},
      {R"("key-header":"a b")", "key-header: 'a b' is not the name of a header such as Idempotency-Key"},
      {R"("label":{"id":1})", "label: '1' is not a JSON pointer"},
      {R"("scope":"a b")", "scope: 'a b' is not 1 to 64 characters of A-Z a-z 0-9 . _ -"},
      {R"("shared_scope":"yes")", "shared_scope: is not true or false"},
      {R"("upstream":"localhost:3000")", "upstream: 'localhost:3000' is no URL"},
      {R"("upstream":null)", "needs 'upstream', its application; or give --upstream for all"},
      {R"("upstream-ca":"ca.pem")", "upstream-ca: needs an upstream that begins with https://"},
      {R"("provider":"strip")", "provider: 'strip' is not known; see 'oncegate providers'"},
      {R"("provider":"stripe")", "provider stripe: needs secret-file with the secret that it signs with"},
      {R"("provider":"stripe","secret-file":"/nowhere")", "secret-file: '/nowhere' cannot be read"},
      {R"("secret-file":"x")", "secret-file: needs provider"},
      {R"("provider":{"name":"own"})", "provider: 'signatures' are needed unless 'secret' is none"},
      {R"("redact":"/a","label":"a=/a")", "redact: '/a' is stored as label a (label)"},
  };
  for (const Row& row : rows) {
    const std::string wanted = "route 'shop': " + row.wanted;
    EXPECT_EQ(ErrorOf(row.members).substr(0, wanted.size()), wanted) << ErrorOf(row.members);
  }
}

TEST_F(RoutesFileTest, FilesThatHoldNoRoutesAreRefused) {
  struct Row {
    std::string json;
    std::string wanted;
  };
  std::string many = "[";
  for (int i = 0; i < 257; ++i)
    many += std::string(i == 0 ? "" : ",") + R"({"name":"r)" + std::to_string(i) + R"(","prefix":"/)" +
            std::to_string(i) + "\"}";
  const Row rows[] = {
      {"", "is not JSON: "},
      {"[", "is not JSON: "},
      {"[]", "there is no route"},
      {"{}", "'routes' is missing"},
      {"7", "is neither a list of routes nor an object with 'routes'"},
      {R"({"route":[]})", "'route' is not known; is 'routes' meant?"},
      {R"({"routes":[],"routes":[]})", "'routes' is given twice"},
      {R"({"routes":{}})", "'routes' is not an array"},
      {R"({"profiles":{},"routes":[]})", "'profiles' is not an array"},
      {R"({"profiles":[{}],"routes":[]})", "profile 1: 'name' is missing"},
      {R"([7])", "route 1: is not an object"},
      {R"([{"name":"a","prefix":"/a"},{}])", "route 2: has no 'name'"},
      {R"([{"name":"a b","prefix":"/"}])", R"(route 1: name: '"a b"' is not 1 to 64 characters)"},
      {R"([{"name":7,"prefix":"/"}])", "route 1: name: '7' is not 1 to 64 characters"},
      {R"([{"name":"a"}])", "route 'a': has no 'prefix', the beginning of its paths"},
      {R"([{"name":"a","prefix":7}])", "route 'a': prefix: is not a string"},
      {R"([{"name":"a","prefix":"a"}])", "route 'a': prefix: 'a' is not a path such as /orders"},
      {R"([{"name":"a","prefix":"/a/../b"}])", "route 'a': prefix: '/a/../b' can be read in more than one way"},
      {R"([{"name":"a","prefix":"/a"},{"name":"a","prefix":"/b"}])", "two routes are named 'a'"},
      {R"([{"name":"a","prefix":"/a"},{"name":"b","prefix":"/a/"}])", "routes 'a' and 'b' have the same prefix /a"},
      {R"([{"name":"a","prefix":"/a"},{"name":"b","prefix":"/b","scope":"a","shared_scope":true}])",
       "routes 'a' and 'b' have the same scope 'a'; if that is meant, give both \"shared_scope\": true"},
      {many + "]", "more than 256 routes"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Error(row.json).substr(0, row.wanted.size()), row.wanted) << row.json.substr(0, 99) << Error(row.json);
  EXPECT_NE(Error("[" + std::string(kRoutesFileBytesMax, ' ') + "]").find("is larger than 1048576 bytes"),
            std::string::npos);
  EXPECT_EQ(MustRead(R"([{"name":"a","prefix":"/a","shared_scope":true},
                         {"name":"b","prefix":"/","scope":"a","shared_scope":true}])")
                .routes.size(),
            2U);
  FlagSources sources;
  sources.command_line = {{"routes", {"/no/such.json"}}};
  sources.variable = [](const char*) -> const char* { return nullptr; };
  EXPECT_EQ(ReadServeOptions(sources).status().message(), "--routes: '/no/such.json' cannot be read");
}

constexpr char kOwnProfile[] = R"({
  "name": "own", "title": "Own", "signatures": [{"signature": "header:X-Signature", "format": "raw", "encoding": "hex",
    "algorithm": "hmac-sha256", "key": ["utf8"], "signed": "{body}"}],
  "keys": [{"parts": ["json:/id"]}], "ttl": "9h", "retry_horizon": "8h", "in_flight_wait": "2s", "success": "2xx"})";

TEST_F(RoutesFileTest, OwnProfilesAreGivenByFileInAListOrInTheRoute) {
  const std::string profile = kOwnProfile;
  const std::string secret = R"(,"secret-file":")" + secret_ + "\"}";
  const std::string named = R"({"name":"a","prefix":"/a","provider":"own")" + secret;
  const std::string file = WriteTempFile("own.json", profile);
  const auto ttl = [](const ServeOptions& options) { return FormatDurationMs(options.routes.at(0).route.ttl_ms); };
  EXPECT_EQ(ttl(MustRead("[" + named + "]", {{"provider-file", {file}}})), "9h");
  EXPECT_EQ(ttl(MustRead(R"({"routes":[)" + named + R"(],"profiles":[)" + profile + "]}")), "9h");
  EXPECT_EQ(ttl(MustRead(R"([{"name":"a","prefix":"/a","provider":)" + profile + secret + "]")), "9h");
  EXPECT_EQ(Error("[" + named + "]"), "route 'a': provider: 'own' is not known; see 'oncegate providers'");
  EXPECT_EQ(Error(R"({"profiles":[)" + profile + "," + profile + R"(],"routes":[]})"),
            "profile 2: 'name': 'own' is given twice");

  const std::string stripe = WriteTempFile("stripe.json", std::string(FindProfile("stripe")->json));
  EXPECT_EQ(Error("[]", {{"provider-file", {stripe}}}),
            "--provider-file: '" + stripe + "': 'name': 'stripe' is built in; give this one another name");
  EXPECT_EQ(Error("[]", {{"provider-file", {"/nowhere"}}}), "--provider-file: '/nowhere' cannot be read");
}

TEST_F(RoutesFileTest, MessagesShowNoSecrets) {
  for (const char* members : {R"("provider":"svix","secret-file":")", R"("provider":"cloudevents","secret-file":")"})
    EXPECT_EQ(ErrorOf(std::string(members) + secret_ + "\"").find("hush"), std::string::npos);
}

}  // namespace
}  // namespace oncegate::cli

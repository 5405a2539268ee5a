#include "cli/config_text.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/app.h"
#include "gateway/provider.h"
#include "tests/cli/read_options.h"
#include "tests/support/temp_path.h"

namespace oncegate::cli {
namespace {

constexpr char kTemplateFile[] = ONCEGATE_SOURCE_DIR "/data/oncegate.toml";

void ExpectLine(const std::string& text, const std::string& line) {
  EXPECT_NE(("\n" + text).find("\n" + line + "\n"), std::string::npos) << line << "\n in\n" << text;
}

// What a second reading brings into force, less where it comes from.
void ExpectSameWhenRead(const ServeOptions& options) {
  const std::string file = WriteTempFile("again.toml", ConfigInForce(options));
  const ServeOptions again = MustRead({{"config", {file}}});
  const auto values = [](const ServeOptions& of) {
    std::string text;
    for (const ServeFlag& flag : ServeFlags()) {
      const auto derived = of.derived.find(flag.name);
      const bool is_derived = derived != of.derived.end() && of.routes.empty();
      const auto own = of.texts.find(flag.name);
      const std::string value = is_derived ? derived->second.values[0] : own == of.texts.end() ? "(none)" : own->second;
      text += std::string(flag.name) + " " + value + "\n";
    }
    return text;
  };
  EXPECT_EQ(values(again), values(options));
  EXPECT_EQ(again.route.key_headers, options.route.key_headers);
  EXPECT_EQ(again.route.provider == nullptr, options.route.provider == nullptr);
  if (options.route.provider != nullptr) {
    EXPECT_EQ(again.route.provider->makes_types, options.route.provider->makes_types);
    EXPECT_EQ(again.route.provider->makes_keys, options.route.provider->makes_keys);
  }
  ASSERT_EQ(again.routes.size(), options.routes.size());
  for (size_t i = 0; i < again.routes.size(); ++i)
    EXPECT_EQ(again.routes[i].route.ttl_ms, options.routes[i].route.ttl_ms) << i;
}

TEST(ConfigTextTest, EveryValueIsShownWithWhereItComesFrom) {
  const std::string secret = WriteTempFile("secret", "hush hush\n");
  const std::string file = WriteTempFile("once.toml", "workers = 3\nkey-pointer = [\"/a b\", \"/c\"]\n");
  const ServeOptions options = MustRead({{"provider", {"twilio"}}, {"secret-file", {secret}}, {"config", {file}}},
                                        {{"ONCEGATE_ON_UNKNOWN", "release"}, {"ONCEGATE_DATA_DIR", "it's here"}});
  const std::string text = ConfigInForce(options);
  ExpectLine(text, R"(provider = "twilio"  # --provider)");
  ExpectLine(text, "secret-file = \"" + secret + "\"  # --secret-file");
  ExpectLine(text, R"(on-unknown = "release"  # ONCEGATE_ON_UNKNOWN)");
  ExpectLine(text, R"(data-dir = "it's here"  # ONCEGATE_DATA_DIR)");
  ExpectLine(text, "workers = \"3\"  # " + file + ": workers");
  ExpectLine(text, R"(key-pointer = ["/a b", "/c"]  # )" + file + ": key-pointer");
  ExpectLine(text, R"(ttl = "25h"  # profile twilio)");
  ExpectLine(text, R"(methods = "POST,GET"  # profile twilio)");
  ExpectLine(text, R"(listen = ["127.0.0.1:8080"]  # default)");
  ExpectLine(text, "# key-header =  # turned off by key-pointer");
  ExpectLine(text, R"(# type = "webhook"  # default, where the profile has none)");
  ExpectLine(text, "# upstream =  # not given");
  EXPECT_EQ(text.find("hush"), std::string::npos) << text;
  ExpectSameWhenRead(options);
}

TEST(ConfigTextTest, WhatIsPrintedCanBeReadAgain) {
  const std::string secret = WriteTempFile("secret", "hush hush\n");
  ExpectSameWhenRead(MustRead({}));
  ExpectSameWhenRead(MustRead({{"provider", {"hubspot"}}, {"secret-file", {secret}}}));
  ExpectSameWhenRead(MustRead({{"mode", {"api"}}, {"key-header", {"A", "B"}}, {"label", {"a=/x,y", "b=/z"}}}));
}

TEST(ConfigTextTest, TheFinalStatusesOfAModeAreSpelledOut) {
  for (const auto& [mode, value] : {std::pair("webhook", Mode::kWebhook), std::pair("api", Mode::kApi)}) {
    const std::string text = ConfigInForce(MustRead({{"mode", {mode}}}));
    const std::string name = "# final-status = \"";
    const size_t at = text.find(name);
    ASSERT_NE(at, std::string::npos) << text;
    const std::string list = text.substr(at + name.size(), text.find('"', at + name.size()) - at - name.size());
    EXPECT_TRUE(*StatusSet::Parse(list) == StatusSet::DefaultFinal(value)) << list;
  }
}

TEST(ConfigTextTest, RoutesAreShownAsComments) {
  const std::string secret = WriteTempFile("secret", "hush hush\n");
  const std::string routes =
      WriteTempFile("routes.json", R"([{"name":"pay","prefix":"/pay","provider":"stripe","secret-file":")" + secret +
                                       R"("},{"name":"rest","prefix":"/","ttl":"9h","upstream":"http://b/v2"}])");
  const ServeOptions options = MustRead({{"routes", {routes}}, {"upstream", {"http://a:1"}}});
  const std::string text = ConfigInForce(options);
  ExpectLine(text, R"(# ttl = "24h"  # default of routes)");
  ExpectLine(text, "# route 'pay': paths /pay, scope pay, application a:1");
  ExpectLine(text, R"(#   upstream = "http://a:1"  # --upstream)");
  ExpectLine(text, R"(#   provider = "stripe"  # )" + routes + ": route 'pay': provider");
  ExpectLine(text, R"(#   ttl = "4d"  # profile stripe)");
  ExpectLine(text, "# route 'rest': paths /, scope rest, application b/v2");
  ExpectLine(text, R"(#   ttl = "9h"  # )" + routes + ": route 'rest': ttl");
  ExpectSameWhenRead(options);
}

TEST(ConfigTextTest, AValueThatAFileCannotHoldIsAComment) {
  const std::string text = ConfigInForce(MustRead({{"data-dir", {"a#b"}}, {"key-pointer", {"/'\""}}}));
  ExpectLine(text, "# data-dir = 'a#b'  # --data-dir; a file cannot hold this value");
  ExpectLine(text, "# key-pointer = ['/'\"']  # --key-pointer; a file cannot hold this value");
}

TEST(ConfigTextTest, PrintConfigOpensNothing) {
  std::ostringstream out;
  std::ostringstream err;
  const std::string directory = TempPath("no_store");
  EXPECT_EQ(cli::Run({"serve", "--print-config", "--data-dir", directory, "--ttl", "1h"}, {out, err}), kExitOk)
      << err.str();
  ExpectLine(out.str(), R"(ttl = "1h"  # --ttl)");
  EXPECT_FALSE(std::ifstream(directory).good());
  EXPECT_EQ(cli::Run({"serve", "--print-config", "--ttl", "x"}, {out, err}), kExitUsage);
}

TEST(ConfigTextTest, TheExampleFileListsEveryOptionWithItsDefault) {
  std::ifstream file(kTemplateFile);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::string wanted = ConfigTemplate();
  EXPECT_EQ(text, wanted) << "cp " << WriteTempFile("oncegate.toml", wanted) << " data/oncegate.toml";
  const ServeOptions options = MustRead({{"config", {kTemplateFile}}});
  EXPECT_EQ(options.texts, MustRead({}).texts);
  for (const ServeFlag& flag : ServeFlags())
    EXPECT_NE(text.find(std::string(flag.name) + " ="), std::string::npos) << flag.name;

  // A profile still has its say, and routes can be added.
  const std::string routes = WriteTempFile("routes.json", R"([{"name":"a","prefix":"/","upstream":"http://a"}])");
  EXPECT_EQ(MustRead({{"config", {kTemplateFile}}, {"routes", {routes}}}).routes.at(0).route.scope, "a");
  const std::string secret = WriteTempFile("secret", "hush hush\n");
  const Given twilio{{"provider", {"twilio"}}, {"secret-file", {secret}}};
  Given with_file = twilio;
  with_file["config"] = {kTemplateFile};
  EXPECT_EQ(MustRead(with_file).derived.size(), MustRead(twilio).derived.size());
  EXPECT_TRUE(MustRead(with_file).route.provider->makes_keys);
  EXPECT_TRUE(MustRead(with_file).route.provider->makes_types);
}

}  // namespace
}  // namespace oncegate::cli

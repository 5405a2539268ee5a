#include "control/access.h"

#include <gtest/gtest.h>

#include <fstream>

namespace oncegate::control {
namespace {

http::RequestHead Head(const std::string& line, const std::string& fields) {
  http::HeadParser parser;
  http::RequestHead head;
  const std::string text = line + " HTTP/1.1\r\n" + fields + "\r\n";
  EXPECT_EQ(parser.ParseRequest(text, &head), http::ParseState::kDone) << text;
  return head;
}

// "ok", "ok as NAME" or the code of the refusal.
std::string Ask(const AccessRules& rules, const std::string& line, const std::string& fields) {
  const AccessRules::Verdict verdict = rules.Check(Head(line, fields));
  if (verdict.refusal) return std::string(http::ErrorName(verdict.refusal->code));
  return verdict.actor.empty() ? "ok" : "ok as " + verdict.actor;
}

std::vector<ControlToken> Tokens(const std::string& text) {
  const Result<std::vector<ControlToken>> tokens = ParseTokens(text);
  EXPECT_TRUE(tokens.ok()) << text << ": " << tokens.status().message();
  return tokens.ok() ? *tokens : std::vector<ControlToken>();
}

TEST(TokenFileTest, SkipsCommentsAndReadsNames) {
  const std::vector<ControlToken> tokens = Tokens("# who\n\nabc\r\n  ops:d-e.f~/+==  \n#x:y\nlast:z");
  ASSERT_EQ(tokens.size(), 3U);
  EXPECT_EQ(tokens[0].name, "");
  EXPECT_EQ(tokens[0].digest, Sha256OfParts({"abc"}));
  EXPECT_EQ(tokens[1].name, "ops");
  EXPECT_EQ(tokens[1].digest, Sha256OfParts({"d-e.f~/+=="}));
  EXPECT_EQ(tokens[2].name, "last");
}

TEST(TokenFileTest, RefusesWhatIsNoTokenWithoutShowingIt) {
  const std::pair<std::string, std::string> rows[] = {
      {"", "no token"},          {"# only\n", "no token"},   {"two words", "line 1"},   {"ok\n:secret", "line 2"},
      {"ok\n\nname:", "line 3"}, {"na me:secret", "line 1"}, {"s\"quote", "line 1"},    {"=", "line 1"},
      {"a:b:c", "line 1"},       {"a:read-only:", "line 1"}, {"gr\xc3\xbcn", "line 1"},
  };
  for (const auto& [text, wanted] : rows) {
    const Result<std::vector<ControlToken>> tokens = ParseTokens(text);
    ASSERT_FALSE(tokens.ok()) << text;
    EXPECT_NE(tokens.status().message().find(wanted), std::string::npos) << text << ": " << tokens.status().message();
    EXPECT_EQ(tokens.status().message().find("secret"), std::string::npos) << tokens.status().message();
  }
}

TEST(TokenFileTest, ReadsFilesAndNamesTheOneThatIsMissing) {
  const std::string file = testing::TempDir() + "/tokens_of_access_test";
  std::ofstream(file) << "# rotation\nnew:first\nold:second\n";
  const Result<std::string> first = LoadFirstToken(file);
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_EQ(*first, "first");
  EXPECT_EQ(LoadTokens(file)->size(), 2U);
  EXPECT_EQ(LoadTokens("/no/such/file").status().message(), "'/no/such/file' cannot be read");
  EXPECT_FALSE(LoadTokens(testing::TempDir()).ok()) << "a directory";
}

TEST(AccessTest, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* host : {"localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"})
    EXPECT_TRUE(IsLoopback(host)) << host;
  for (const char* host : {"", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.com", "127.0.0.1.evil.com",
                           "::ffff:127.0.0.1", "2130706433", "127.1"})
    EXPECT_FALSE(IsLoopback(host)) << host;
}

TEST(AccessTest, WithTokensARequestMustBearOne) {
  const AccessRules rules("0.0.0.0", Tokens("ops:s3cret\nnameless"));
  const std::pair<std::string, std::string> rows[] = {
      {"Authorization: Bearer s3cret\r\n", "ok as ops"},
      {"authorization: bearer s3cret\r\n", "ok as ops"},
      {"Authorization: Bearer  nameless \r\n", "ok"},
      {"", "unauthorized"},
      {"Authorization: Bearer \r\n", "unauthorized"},
      {"Authorization: Bearer s3cre\r\n", "unauthorized"},
      {"Authorization: Bearer s3crett\r\n", "unauthorized"},
      {"Authorization: Bearer S3CRET\r\n", "unauthorized"},
      {"Authorization: Bearer ops:s3cret\r\n", "unauthorized"},
      {"Authorization: Basic s3cret\r\n", "unauthorized"},
      {"Authorization: s3cret\r\n", "unauthorized"},
      {"Authorization: Bearer s3cret\r\nAuthorization: Bearer s3cret\r\n", "unauthorized"},
  };
  for (const auto& [fields, wanted] : rows)
    EXPECT_EQ(Ask(rules, "GET /v1/stats", "Host: gate.example\r\n" + fields), wanted) << fields;
}

TEST(AccessTest, ATokenMayBeForReadingOnly) {
  const std::vector<ControlToken> tokens = Tokens("ops:abc\nwatch:read-only:def");
  EXPECT_FALSE(tokens[0].read_only);
  EXPECT_TRUE(tokens[1].read_only);
  const AccessRules rules("127.0.0.1", tokens);
  const std::string watch = "Host: x\r\nAuthorization: Bearer def\r\n";
  EXPECT_EQ(Ask(rules, "GET /v1/stats", watch), "ok as watch");
  EXPECT_TRUE(rules.Check(Head("GET /v1/stats", watch)).read_only);
  for (const char* line : {"POST /v1/claims", "DELETE /v1/records/default/a", "POST /v1/cleanup", "PUT /"})
    EXPECT_EQ(Ask(rules, line, watch), "unauthorized") << line;
  EXPECT_EQ(Ask(rules, "POST /v1/claims", "Host: x\r\nAuthorization: Bearer abc\r\n"), "ok as ops");
}

TEST(AccessTest, ProbesAndTheDashboardsPageNeedNoToken) {
  const AccessRules rules("0.0.0.0", Tokens("t"));
  for (const char* path : {"/healthz", "/readyz", "/readyz?x=1", "/", "/?x", "/assets/app.js"})
    EXPECT_EQ(Ask(rules, std::string("GET ") + path, "Host: x\r\n"), "ok") << path;
  for (const char* line : {"POST /", "DELETE /assets/app.js"})
    EXPECT_EQ(Ask(rules, line, "Host: x\r\n"), "unauthorized") << line;
  for (const char* path : {"/assets", "//", "/healthz/", "/healthzz", "/%68ealthz", "/v1/../healthz"})
    EXPECT_EQ(Ask(rules, std::string("GET ") + path, "Host: x\r\n"), "unauthorized") << path;
}

TEST(AccessTest, NewTokensReplaceTheOldOnes) {
  AccessRules rules("127.0.0.1", Tokens("old"));
  rules.SetTokens(Tokens("new"));
  const std::string host = "Host: localhost\r\n";
  EXPECT_EQ(Ask(rules, "GET /v1/stats", host + "Authorization: Bearer old\r\n"), "unauthorized");
  EXPECT_EQ(Ask(rules, "GET /v1/stats", host + "Authorization: Bearer new\r\n"), "ok");
}

TEST(AccessTest, WithoutTokensTheHostMustBeThisListener) {
  const AccessRules rules("127.0.0.2", {});
  const std::pair<std::string, std::string> rows[] = {
      {"localhost", "ok"},
      {"LocalHost:8081", "ok"},
      {"127.0.0.1:8081", "ok"},
      {"127.0.0.2", "ok"},
      {"[::1]:8081", "ok"},
      {"evil.example", "bad-request"},
      {"evil.example:8081", "bad-request"},
      {"localhost.evil.example", "bad-request"},
      {"127.0.0.1.evil.example", "bad-request"},
      {"10.0.0.1", "bad-request"},
      {"[::2]", "bad-request"},
  };
  for (const auto& [host, wanted] : rows)
    EXPECT_EQ(Ask(rules, "GET /v1/stats", "Host: " + host + "\r\n"), wanted) << host;
}

TEST(AccessTest, PagesOfAnotherOriginChangeNothing) {
  const AccessRules open("127.0.0.1", {});
  const AccessRules closed("127.0.0.1", Tokens("t"));
  struct Row {
    std::string line;
    std::string origin;
    std::string wanted;
  };
  const Row rows[] = {
      {"POST /v1/cleanup", "", "ok"},
      {"POST /v1/cleanup", "http://localhost:8081", "ok"},
      {"POST /v1/cleanup", "http://LOCALHOST:8081", "ok"},
      {"POST /v1/cleanup", "http://localhost:3000", "bad-request"},
      {"POST /v1/cleanup", "http://localhost", "bad-request"},
      {"POST /v1/cleanup", "https://evil.example", "bad-request"},
      {"POST /v1/cleanup", "null", "bad-request"},
      {"DELETE /v1/records/default/a", "https://evil.example", "bad-request"},
      {"OPTIONS /v1/cleanup", "https://evil.example", "bad-request"},
      {"GET /v1/stats", "https://evil.example", "ok"},  // its page cannot read the answer
  };
  for (const Row& row : rows) {
    const std::string fields = "Host: localhost:8081\r\nAuthorization: Bearer t\r\n" +
                               (row.origin.empty() ? "" : "Origin: " + row.origin + "\r\n");
    EXPECT_EQ(Ask(open, row.line, fields), row.wanted) << row.line << " " << row.origin;
    EXPECT_EQ(Ask(closed, row.line, fields), row.wanted) << row.line << " " << row.origin << ", with a token";
  }
}

}  // namespace
}  // namespace oncegate::control

// Published and constructed signature vectors of ../shared/providers, through the code that serves requests.

#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

#ifndef ONCEGATE_SHARED_PROVIDERS
#error "the build says where the vectors are"
#endif

namespace oncegate {
namespace {

namespace dom = simdjson::dom;

struct Vector {
  std::string id;
  std::string provider;
  std::string scheme;
  std::string method;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string secret;
  bool valid = false;
  bool verified = true;
  std::string key;  // empty: not said
  std::optional<int64_t> now_ms;
  std::optional<int64_t> tolerance_ms;
};

std::string Text(dom::element vector, std::string_view name) {
  std::string_view text;
  return vector[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

std::optional<int64_t> Seconds(dom::element vector, std::string_view name) {
  int64_t seconds = 0;
  if (vector[name].get(seconds) != simdjson::SUCCESS) return std::nullopt;
  return seconds * 1000;
}

Vector Read(dom::element element) {
  Vector vector{.id = Text(element, "id"),
                .provider = Text(element, "provider"),
                .scheme = Text(element, "scheme"),
                .method = Text(element, "method"),
                .url = Text(element, "url"),
                .headers = {},
                .body = DecodeBase64(Text(element, "body_base64")).value_or("(no base64)"),
                .secret = Text(element, "secret"),
                .valid = Text(element, "expected") == "valid",
                .verified = true,
                .key = Text(element, "expect_id"),
                .now_ms = Seconds(element, "now"),
                .tolerance_ms = Seconds(element, "tolerance_s")};
  bool verified = true;
  if (element["verified"].get(verified) == simdjson::SUCCESS) vector.verified = verified;
  dom::object headers;
  if (element["headers"].get(headers) == simdjson::SUCCESS) {
    for (const auto [name, value] : headers) {
      std::string_view text;
      if (value.get(text) == simdjson::SUCCESS) vector.headers.emplace_back(name, text);
    }
  }
  return vector;
}

std::vector<Vector> ReadVectors() {
  std::vector<Vector> vectors;
  for (const char* file : {"vectors.json", "vectors_constructed.json"}) {
    dom::parser parser;
    dom::array array;
    if (parser.load(std::string(ONCEGATE_SHARED_PROVIDERS) + "/" + file).get(array) != simdjson::SUCCESS) continue;
    for (const dom::element element : array) vectors.push_back(Read(element));
  }
  return vectors;
}

std::string Target(const Vector& vector) {
  const size_t scheme = vector.url.find("://");
  if (scheme == std::string::npos) return "/webhook";
  const size_t path = vector.url.find('/', scheme + 3);
  return path == std::string::npos ? "/" : vector.url.substr(path);
}

TEST(ProviderVectors, EachGivesItsVerdictAndItsKey) {
  const std::vector<Vector> vectors = ReadVectors();
  if (vectors.empty()) GTEST_SKIP() << "no ../shared/providers beside this clone";
  EXPECT_GT(vectors.size(), 100U);
  for (const Vector& vector : vectors) {
    SCOPED_TRACE(vector.id);
    // One vector carries a Stripe value in GitHub's header, and says so by its scheme.
    const Profile* profile = FindProfile(vector.scheme);
    if (profile == nullptr) profile = FindProfile(vector.provider);
    ASSERT_NE(profile, nullptr) << vector.provider;
    VerifierOptions options;
    options.tolerance_ms = vector.tolerance_ms;
    const Result<SignatureVerifier> verifier = SignatureVerifier::Create(*profile, vector.secret, options);
    if (!vector.verified) {
      // PayPal's published vector comes without the certificate: nobody can say that it is valid, and nothing does.
      EXPECT_FALSE(verifier.ok());
      continue;
    }
    ASSERT_TRUE(verifier.ok()) << verifier.status().message();
    std::vector<HeaderLine> headers;
    for (const auto& [name, value] : vector.headers) headers.push_back({name, value});
    const std::string target = Target(vector);
    const std::string url = SenderUrl(vector.url, "http", "localhost", target);
    const WebhookRequest request{vector.method, target, url, headers, vector.body};
    RequestReader reader(request, profile->paths);
    const SignatureVerdict verdict = verifier->Verify(reader, {vector.now_ms.value_or(0), vector.now_ms});
    EXPECT_EQ(verdict.valid(), vector.valid) << SignatureReasonName(verdict.reason) << ": " << verdict.detail;
    if (vector.key.empty()) continue;
    const Result<std::string> key = WebhookKey(*profile, reader);
    ASSERT_TRUE(key.ok()) << key.status().message();
    EXPECT_EQ(*key, vector.key);
  }
}

}  // namespace
}  // namespace oncegate

// Each provider's life of a delivery, made from its profile: the real binary, a real store, a real clock.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/provider_signer.h"
#include "tests/support/raw_client.h"
#include "tests/support/table_search.h"
#include "webhook/profile.h"

namespace oncegate {
namespace {

constexpr char kPublicUrl[] = "https://hooks.example.com";

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// The first part in which two keys differ, as it stands in the request.
std::pair<std::string, std::string> Difference(std::string_view key, std::string_view other) {
  while (true) {
    const std::string_view a = key.substr(0, key.find(':'));
    const std::string_view b = other.substr(0, other.find(':'));
    if (a != b || a.size() == key.size()) return {std::string(a), std::string(b)};
    key.remove_prefix(a.size() + 1);
    other.remove_prefix(b.size() + 1);
  }
}

class ProviderE2e : public testing::TestWithParam<const Profile*> {
 protected:
  void Serve(const std::string& provider, const std::string& secret, std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--provider", provider, "--public-url", kPublicUrl, "--upstream", app_.url(),
                               "--data-dir", dir_ / "data", "--durability", "async"});
    if (!secret.empty()) {
      WriteFile(dir_ / "secret", secret + "\n");
      flags.insert(flags.end(), {"--secret-file", dir_ / "secret"});
    }
    server_ = std::make_unique<ServeProcess>(flags);
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }
  [[nodiscard]] RawAnswer Ask(const ProviderDelivery& delivery) const {
    RawClient client(server_->gateway_port());
    client.Send(WireText(delivery));
    return client.Receive();
  }
  [[nodiscard]] std::string Verdict(const ProviderDelivery& delivery) const { return Ask(delivery).Verdict(); }

  ProviderDelivery SignNow(const Profile& profile, const ProviderDelivery& delivery, int64_t age_s = 0) const {
    return Sign(profile, delivery, profile.sample->secret, kPublicUrl + delivery.target, NowSeconds() - age_s);
  }

  TempDir dir_;
  CountingApp app_;
  std::unique_ptr<ServeProcess> server_;
};

bool SignsBody(const Profile& profile, const ProviderDelivery& sample) {
  if (profile.signatures.empty()) return false;
  const SignatureScheme& scheme = profile.signatures.front();
  if (scheme.kind != SchemeKind::kTemplate) return true;
  const bool adyen_items = sample.body.find("hmacSignature") != std::string::npos;
  return adyen_items ||
         std::any_of(scheme.signed_content.begin(), scheme.signed_content.end(),
                     [](const TemplatePiece& piece) { return piece.kind == TemplatePiece::Kind::kBody; });
}

// Without what the key is made of; a body of the same kind that says nothing.
ProviderDelivery WithoutKey(const Profile& profile, ProviderDelivery delivery) {
  for (const KeyRule& rule : profile.keys) {
    for (const KeyPart& part : rule.parts) {
      for (const Source& source : part.any) {
        std::erase_if(delivery.headers, [&](const auto& header) {
          return source.kind == Source::Kind::kHeader && SameName(header.first, source.name);
        });
      }
    }
  }
  delivery.body = delivery.body.starts_with('{') || delivery.body.starts_with('[') ? "{}" : "a=1";
  return delivery;
}

std::string VerdictWithoutKey(const Profile& profile, const ProviderDelivery& sample) {
  if (profile.signatures.empty()) return "200 unkeyed";
  const bool in_header = profile.signatures.front().signature.kind == Source::Kind::kHeader;
  if (sample.body.find("@signature@") != std::string::npos && !in_header) return "401 signature-invalid";
  for (const TemplatePiece& piece : profile.signatures.front().signed_content) {
    const bool header = piece.kind == TemplatePiece::Kind::kValue && piece.source.kind == Source::Kind::kHeader;
    if (header && profile.name != "mercadopago") return "401 signature-invalid";  // the id is signed
  }
  // The guard knows what is signed, which the body is no part of.
  if (profile.name == "mercadopago") return "200 replayed";
  const bool by_body = profile.keys.back().items == std::nullopt &&
                       profile.keys.back().parts.front().any.front().kind == Source::Kind::kBody;
  return by_body ? "200 executed" : "200 unkeyed";
}

TEST_P(ProviderE2e, ADeliveryTakesEffectOnceAndForgeriesNever) {
  const Profile& profile = *GetParam();
  const ProfileSample& sample_facts = *profile.sample;
  Serve(profile.name, sample_facts.secret);
  const ProviderDelivery sample = SampleOf(profile);

  const ProviderDelivery first = SignNow(profile, sample, 1);
  EXPECT_EQ(Verdict(first), "200 executed");
  ProviderDelivery retry = sample;
  for (const auto& [from, to] : sample_facts.retry_edits) ReplaceEverywhere(from, to, &retry);
  const RawAnswer replay = Ask(SignNow(profile, retry));
  EXPECT_EQ(replay.Verdict(), "200 replayed");
  EXPECT_EQ(replay.body.empty(), !profile.replay_bodies) << replay.body;
  EXPECT_EQ(app_.Executions(sample_facts.key), 1) << "the key is another one";

  const auto& [mine, others] = Difference(sample_facts.key, sample_facts.other_key);
  ProviderDelivery other = sample;
  ReplaceEverywhere(mine, others, &other);
  // Whoever leaves out the unsigned id gets nothing executed again.
  if (profile.replay_guard && !profile.keys.front().parts.empty()) {
    ProviderDelivery anonymous = SignNow(profile, sample);
    const Source& id = profile.keys.front().parts.front().any.front();
    const size_t all = anonymous.headers.size();
    std::erase_if(anonymous.headers, [&](const auto& header) {
      return id.kind == Source::Kind::kHeader && SameName(header.first, id.name);
    });
    if (anonymous.headers.size() < all) {
      EXPECT_EQ(Verdict(anonymous), "200 replayed");
    }
  }
  if (profile.replay_guard && profile.name != "braintree") {  // whose key is what is signed
    // The same signed content under another id: only what is not signed has changed.
    EXPECT_EQ(Verdict(SignNow(profile, other)), "200 replayed");
    if (!other.body.starts_with('{')) other.body += "&Extra=1";
    ReplaceEverywhere("req-1", "req-2", &other);
    ReplaceEverywhere("5egbgr1", "6egbgr1", &other);
    if (other.body.starts_with('{')) other.body += " ";
  }
  EXPECT_EQ(Verdict(SignNow(profile, other)), "200 executed") << "two events have one key";
  const int executed = app_.Total();
  EXPECT_EQ(executed, 2);

  if (SignsBody(profile, sample)) {
    ProviderDelivery tampered = SignNow(profile, sample);
    const size_t at = tampered.body.find("1130");
    tampered.body.replace(at == std::string::npos ? tampered.body.size() : at, at == std::string::npos ? 0 : 4, "1131");
    EXPECT_EQ(Verdict(tampered), "401 signature-invalid");
  }
  if (!profile.signatures.empty()) {
    const std::string wrong = WrongSecret(profile);
    EXPECT_EQ(Verdict(Sign(profile, sample, wrong, kPublicUrl + sample.target, NowSeconds())), "401 signature-invalid");
    const std::optional<int64_t> tolerance_ms = profile.signatures.front().tolerance_ms;
    if (tolerance_ms) {
      EXPECT_EQ(Verdict(SignNow(profile, sample, *tolerance_ms / 1000 + 60)), "401 timestamp-expired");
    }
  }
  EXPECT_EQ(app_.Total(), executed) << "a forgery reached the application";
  EXPECT_EQ(Verdict(SignNow(profile, WithoutKey(profile, sample))), VerdictWithoutKey(profile, sample));

  EXPECT_EQ(server_->Stop(), 0);
  const std::string log = server_->Err();
  if (!sample_facts.secret.empty() && sample_facts.secret.size() > 6) {
    EXPECT_EQ(log.find(sample_facts.secret), std::string::npos) << log;
  }
}

// The names of all files below a directory that hold `text`.
std::string FilesWith(const std::string& directory, const std::string& text) {
  std::string names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && ReadFile(entry.path()).find(text) != std::string::npos)
      names += entry.path().string() + " ";
  }
  return names;
}

class OneProviderE2e : public ProviderE2e {
 protected:
  [[nodiscard]] std::string AskRaw(const std::string& text) const {
    RawClient client(server_->gateway_port());
    client.Send(text);
    return client.Receive().Verdict();
  }
};

TEST_F(OneProviderE2e, RedactedValuesAreNowhere) {
  Serve("twilio", "12345", {"--redact", "form:From", "--redact", "form:Body", "--redact", "/*/data/phone"});
  const Profile& twilio = *FindProfile("twilio");
  ProviderDelivery delivery = SampleOf(twilio);
  ReplaceEverywhere("Two+pizzas", "TopSecretOrder", &delivery);
  EXPECT_EQ(Verdict(SignNow(twilio, delivery)), "200 executed");
  EXPECT_NE(app_.LastRequest(twilio.sample->key).find("TopSecretOrder"), std::string::npos)
      << "the application needs it";
  EXPECT_EQ(Verdict(SignNow(twilio, delivery)), "200 replayed");
  EXPECT_EQ(RunOncegate({"backup", dir_ / "backup", "--control", server_->control_url()}).exit_code, 0);
  const CommandResult record = RunOncegate({"get", twilio.sample->key, "--json", "--control", server_->control_url()});
  EXPECT_NE(record.out.find("redacted"), std::string::npos) << record.out;
  EXPECT_EQ(record.out.find("Twilio-Signature"), std::string::npos) << record.out;
  const CommandResult again =
      RunOncegate({"redeliver", twilio.sample->key, "--force", "--control", server_->control_url()});
  EXPECT_EQ(again.exit_code, 1) << again.out;
  EXPECT_NE(again.err.find("not-redeliverable"), std::string::npos) << again.err;
  // The log, which is there while the server runs, is not compressed; tables are, and the next test reads those.
  EXPECT_NE(FilesWith(dir_ / "data", "14155550199"), "") << "the search does not find what is there";
  for (const std::string secret : {"TopSecretOrder", "14155550100"}) {
    EXPECT_EQ(FilesWith(dir_.path(), secret), "") << secret;
    EXPECT_EQ(record.out.find(secret), std::string::npos) << record.out;
  }
  EXPECT_EQ(server_->Stop(), 0);
  for (const std::string secret : {"TopSecretOrder", "14155550100"}) {
    EXPECT_EQ(FilesWith(dir_.path(), secret), "") << secret;
    EXPECT_EQ(server_->Err().find(secret), std::string::npos) << server_->Err();
  }
}

// Once more for what the files' bytes do not show: tables and blobs are compressed.
TEST_F(OneProviderE2e, RedactedValuesAreInNoTableOfStoreAndBackup) {
  const std::vector<std::string> flags{"--redact", "form:From", "--redact", "form:Body"};
  const Profile& twilio = *FindProfile("twilio");
  Serve("twilio", "12345", flags);
  ProviderDelivery small = SampleOf(twilio);
  ReplaceEverywhere("Two+pizzas", "TopSecretOrder", &small);
  EXPECT_EQ(Verdict(SignNow(twilio, small)), "200 executed");
  ProviderDelivery large = small;  // its body stands apart from its record, in a blob
  const auto& [mine, others] = Difference(twilio.sample->key, twilio.sample->other_key);
  ReplaceEverywhere(mine, others, &large);
  ReplaceEverywhere("5egbgr1", "6egbgr1", &large);
  large.body += "&Extra=" + std::string(20'000, 'x') + "KeptMarker";
  EXPECT_EQ(Verdict(SignNow(twilio, large)), "200 executed");
  EXPECT_EQ(Verdict(SignNow(twilio, small)), "200 replayed");
  EXPECT_EQ(server_->Stop(), 0);
  Serve("twilio", "12345", flags);  // opening moves what the log held into tables
  EXPECT_EQ(RunOncegate({"backup", dir_ / "backup", "--control", server_->control_url()}).exit_code, 0);
  EXPECT_EQ(server_->Stop(), 0);
  EXPECT_EQ(RunOncegate({"restore", dir_ / "backup", "--data-dir", dir_ / "restored"}).exit_code, 0);

  for (const std::string directory : {"data", "restored"}) {
    EXPECT_NE(FamiliesWith(dir_ / directory, "14155550199").find("records"), std::string::npos)
        << "the search does not find what is there: " << FamiliesWith(dir_ / directory, "14155550199");
    EXPECT_EQ(FamiliesWith(dir_ / directory, "KeptMarker"), "bodies ") << "nor what is in blobs";
  }
  for (const std::string directory : {"data", "backup", "restored"})
    EXPECT_NE(TablesWith(dir_ / directory, "14155550199"), "") << directory;
  for (const std::string secret : {"TopSecretOrder", "14155550100"}) {
    for (const std::string directory : {"data", "restored"})
      EXPECT_EQ(FamiliesWith(dir_ / directory, secret), "") << secret;
    EXPECT_EQ(TablesWith(dir_.path(), secret), "") << secret;
    EXPECT_EQ(FilesWith(dir_.path(), secret), "") << secret;
  }
}

TEST_F(OneProviderE2e, HandshakesPassAndOtherMethodsAndPathsDoNot) {
  Serve("slack", "8f742231b10e8888abcd99yyyzzz85a5");
  const Profile& slack = *FindProfile("slack");
  ProviderDelivery challenge = SampleOf(slack);
  challenge.body = R"({"type":"url_verification","challenge":"c","event_id":"Ev1"})";
  EXPECT_EQ(Verdict(SignNow(slack, challenge)), "200 passed");
  EXPECT_EQ(Verdict(SignNow(slack, challenge)), "200 passed");
  EXPECT_EQ(Verdict(challenge), "401 signature-invalid") << "not signed";
  EXPECT_EQ(AskRaw("GET /webhook HTTP/1.1\r\nHost: a\r\n\r\n"), "200 passed");
  EXPECT_EQ(AskRaw("DELETE /webhook HTTP/1.1\r\nHost: a\r\n\r\n"), "404 not-found");
  for (const std::string path : {"/a/../webhook", "//webhook", "/a%2Fb", "/%2e%2E/x", "/a%5cb", "/a\\b", "/.", "/x/.."})
    EXPECT_EQ(AskRaw("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"), "400 bad-request") << path;
}

TEST_F(OneProviderE2e, XeroGetsNoBodyWithARefusal) {
  Serve("xero", "ABC123");
  const RawAnswer answer = Ask(SampleOf(*FindProfile("xero")));
  EXPECT_EQ(answer.Verdict(), "401 signature-invalid");
  EXPECT_EQ(answer.body, "");
}

TEST_F(OneProviderE2e, SecretsAreReadAgainOnSighup) {
  Serve("github", "old secret");
  const Profile& github = *FindProfile("github");
  const ProviderDelivery delivery = Sign(github, SampleOf(github), "new secret", "", 0);
  EXPECT_EQ(Verdict(delivery), "401 signature-invalid");
  WriteFile(dir_ / "secret", "old secret\nnew secret\n");
  server_->Signal(SIGHUP);
  std::string verdict;
  const int64_t patience_end = NowSeconds() + 20;
  while (verdict != "200 executed" && NowSeconds() < patience_end) verdict = Verdict(delivery);
  EXPECT_EQ(verdict, "200 executed");
  WriteFile(dir_ / "secret", "");
  server_->Signal(SIGHUP);
  const std::string complaint = "the old one stays in force";
  while (server_->Err().find(complaint) == std::string::npos && NowSeconds() < patience_end)
    EXPECT_EQ(Verdict(delivery), "200 replayed");
  EXPECT_NE(server_->Err().find(complaint), std::string::npos) << server_->Err();
  EXPECT_EQ(Verdict(delivery), "200 replayed") << "a bad file keeps the old secrets";
}

// What docs/whatsapp.md shows.
TEST_F(OneProviderE2e, TheWhatsAppSamplesDoWhatTheTutorialSays) {
  struct Row {
    const char* provider;
    const char* secret;
    std::vector<std::pair<const char*, const char*>> samples;  // file and key
  };
  const std::vector<Row> rows{{"twilio",
                               "12345",
                               {{"twilio-order", "5a1b9f56-53ad-4a4e-9c4b-000000000001"},
                                {"twilio-status-delivered", "5a1b9f56-53ad-4a4e-9c4b-000000000002"},
                                {"twilio-status-read", "5a1b9f56-53ad-4a4e-9c4b-000000000003"}}},
                              {"whatsapp_meta",
                               "app_secret",
                               {{"meta-order", "wamid.HBgLMTQxNTU1NTAxMDAVAgASGBQzQQ=="},
                                {"meta-status-delivered", "wamid.HBgLMTQxNTU1NTAxMDAVAgARGBJC:delivered"},
                                {"meta-status-read", "wamid.HBgLMTQxNTU1NTAxMDAVAgARGBJC:read"},
                                {"meta-two-messages", "wamid.HBgLA:wamid.HBgLB"}}}};
  for (const Row& row : rows) {
    std::filesystem::remove_all(dir_ / "data");
    Serve(row.provider, row.secret);
    for (const auto& [sample, key] : row.samples) {
      const std::string file = std::string(ONCEGATE_SAMPLES) + "/whatsapp/" + sample + ".http";
      const CommandResult check = RunOncegate({"check", "--provider", row.provider, "--secret-file", dir_ / "secret",
                                               "--public-url", kPublicUrl, "--json", file});
      EXPECT_EQ(check.exit_code, 0) << sample << ": " << check.out << check.err;
      EXPECT_NE(check.out.find("\"key\":\"" + std::string(key) + "\""), std::string::npos) << check.out;
      EXPECT_EQ(AskRaw(ReadFile(file)), "200 executed") << sample;
      EXPECT_EQ(AskRaw(ReadFile(file)), "200 replayed") << sample;
    }
    EXPECT_EQ(server_->Stop(), 0);
  }
}

std::vector<const Profile*> ProfilesWithSamples() {
  std::vector<const Profile*> profiles;
  for (const Profile& profile : BuiltinProfiles()) {
    if (profile.sample) profiles.push_back(&profile);
  }
  return profiles;
}

INSTANTIATE_TEST_SUITE_P(Providers, ProviderE2e, testing::ValuesIn(ProfilesWithSamples()),
                         [](const auto& one) { return one.param->name; });

}  // namespace
}  // namespace oncegate

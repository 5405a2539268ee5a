// Providers that sign with a private key, which no sample can contain: SNS, PayPal and SendGrid with keys and
// certificates made here. The real binary, a real store, a real clock.

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/provider_signer.h"
#include "tests/support/raw_client.h"
#include "tests/support/signing_identity.h"

namespace oncegate {
namespace {

constexpr int64_t kDayS = 86'400;

// CRC-32 as zip has it, bit by bit: another code than the one under test.
uint32_t Crc32(const std::string& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

class CertificateE2e : public testing::Test {
 protected:
  CertificateE2e() {
    root_.certificate = IssueCertificate(
        root_, {.name = "Test Root", .from_s = now_s_ - kDayS, .until_s = now_s_ + kDayS, .authority = true}, nullptr);
  }

  // The secret file's certificates: one for `name`, and the authority that vouches for it.
  [[nodiscard]] std::string Chain(const std::string& name) const {
    const CertificateFacts facts{.name = name, .from_s = now_s_ - kDayS, .until_s = now_s_ + kDayS};
    return Pem(IssueCertificate(leaf_, facts, &root_)) + Pem(root_.certificate);
  }

  void Serve(const std::string& provider, const std::string& secrets) {
    std::ofstream(dir_ / "secret", std::ios::binary) << secrets;
    server_ = std::make_unique<ServeProcess>(
        std::vector<std::string>{"--provider", provider, "--secret-file", dir_ / "secret", "--upstream", app_.url(),
                                 "--data-dir", dir_ / "data", "--durability", "async"});
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }

  [[nodiscard]] std::string Verdict(const ProviderDelivery& delivery) const {
    RawClient client(server_->gateway_port());
    client.Send(WireText(delivery));
    return client.Receive().Verdict();
  }

  // The keys in the store, each with a space behind it.
  [[nodiscard]] std::string StoredKeys() const {
    const CommandResult exported = RunOncegate({"export", "--control", server_->control_url()});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    const std::string name = "\"key\":\"";
    std::string keys;
    for (size_t at = exported.out.find(name); at != std::string::npos; at = exported.out.find(name, at + 1)) {
      const size_t begin = at + name.size();
      keys += exported.out.substr(begin, exported.out.find('"', begin) - begin) + " ";
    }
    return keys;
  }

  // `sign(id, time_s, key)` is a delivery of one event, `genuine` what signs for the provider.
  template <typename SignFunction>
  void TakesEffectOnceAndForgeriesNever(const SignFunction& sign, const Key& genuine, const Key& other) {
    EXPECT_EQ(Verdict(sign("evt-1", now_s_ - 1, genuine)), "200 executed");
    EXPECT_EQ(Verdict(sign("evt-1", now_s_, genuine)), "200 replayed");
    EXPECT_EQ(app_.Executions("evt-1"), 1) << "the key is another one";

    ProviderDelivery tampered = sign("evt-2", now_s_, genuine);
    ReplaceEverywhere("evt-2", "evt-3", &tampered);
    EXPECT_EQ(Verdict(tampered), "401 signature-invalid");
    EXPECT_EQ(Verdict(sign("evt-4", now_s_, other)), "401 signature-invalid");
    ProviderDelivery known = sign("evt-1", now_s_, genuine);
    ReplaceEverywhere("paid", "void", &known);
    EXPECT_EQ(Verdict(known), "401 signature-invalid") << "a known key is no reason to answer a forgery";
    EXPECT_EQ(app_.Total(), 1) << "a forgery reached the application";
    EXPECT_EQ(StoredKeys(), "evt-1 ") << "a forgery reached the store";

    EXPECT_EQ(Verdict(sign("evt-2", now_s_, genuine)), "200 executed") << "nothing of the forgeries stays behind";
    EXPECT_EQ(server_->Stop(), 0);
  }

  const int64_t now_s_ = NowSeconds();
  TempDir dir_;
  CountingApp app_;
  Identity root_{NewRsaKey(), nullptr};
  Identity leaf_{NewRsaKey(), nullptr};
  std::unique_ptr<ServeProcess> server_;
};

TEST_F(CertificateE2e, SnsTakesEffectOnceAndForgeriesNever) {
  Serve("aws_sns", Chain("sns.amazonaws.com"));
  // A retry is the same message, its time included.
  const std::string time = FormatRfc3339(now_s_ * 1000);
  const auto sign = [&](const std::string& id, int64_t, const Key& key) {
    const std::string content = "Message\npaid\nMessageId\n" + id + "\nTimestamp\n" + time +
                                "\nTopicArn\narn:aws:sns:us-east-1:1:orders\nType\nNotification\n";
    return ProviderDelivery{"/hook",
                            {{"Content-Type", "text/plain; charset=UTF-8"}, {"x-amz-sns-message-type", "Notification"}},
                            R"({"Type":"Notification","MessageId":")" + id +
                                R"(","TopicArn":"arn:aws:sns:us-east-1:1:orders","Message":"paid","Timestamp":")" +
                                time + R"(","SignatureVersion":"2","Signature":")" + SignBase64(key, content) +
                                R"(","SigningCertURL":"https://sns.us-east-1.amazonaws.com/a.pem"})"};
  };
  TakesEffectOnceAndForgeriesNever(sign, leaf_.key, root_.key);
}

TEST_F(CertificateE2e, PaypalTakesEffectOnceAndForgeriesNever) {
  Serve("paypal", "webhook_id=WH1\n" + Chain("messageverificationcerts.paypal.com"));
  // A retry is signed anew: another transmission time, the same event.
  const auto sign = [](const std::string& id, int64_t time_s, const Key& key) {
    const std::string body =
        R"({"id":")" + id + R"(","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"state":"paid"}})";
    const std::string time = FormatRfc3339(time_s * 1000);
    const std::string signature = SignBase64(key, "t1|" + time + "|WH1|" + std::to_string(Crc32(body)));
    return ProviderDelivery{"/hook",
                            {{"Content-Type", "application/json"},
                             {"PAYPAL-TRANSMISSION-ID", "t1"},
                             {"PAYPAL-TRANSMISSION-TIME", time},
                             {"PAYPAL-TRANSMISSION-SIG", signature},
                             {"PAYPAL-AUTH-ALGO", "SHA256withRSA"},
                             {"PAYPAL-CERT-URL", "https://api.paypal.com/v1/notifications/certs/C"}},
                            body};
  };
  TakesEffectOnceAndForgeriesNever(sign, leaf_.key, root_.key);
}

TEST_F(CertificateE2e, SendGridTakesEffectOnceAndForgeriesNever) {
  const Key genuine = NewEcKey();
  Serve("sendgrid", PublicKeyBase64(genuine) + "\n");
  const auto sign = [](const std::string& id, int64_t time_s, const Key& key) {
    const std::string body = R"([{"sg_event_id":")" + id + R"(","event":"paid"}])" + "\r\n";
    const std::string time = std::to_string(time_s);
    return ProviderDelivery{"/hook",
                            {{"Content-Type", "application/json"},
                             {"X-Twilio-Email-Event-Webhook-Signature", SignBase64(key, time + body)},
                             {"X-Twilio-Email-Event-Webhook-Timestamp", time}},
                            body};
  };
  TakesEffectOnceAndForgeriesNever(sign, genuine, NewEcKey());
}

}  // namespace
}  // namespace oncegate

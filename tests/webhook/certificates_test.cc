// SNS, PayPal, SendGrid and Adyen with keys made here: what a thief of names, an expired or a foreign certificate gets.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/provider_signer.h"
#include "tests/support/signing_identity.h"
#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate {
namespace {

constexpr int64_t kNowS = 1'700'000'000;
constexpr int64_t kDayS = 86'400;

// A certificate for `name`, valid from a day before kNowS.
Certificate MakeCertificate(const Identity& subject, const std::string& name, const Identity* issuer, bool authority,
                            int64_t until_s = kNowS + kDayS) {
  return IssueCertificate(subject, {name, kNowS - kDayS, until_s, authority}, issuer);
}

std::string ReasonOf(const std::string& provider, const std::string& secrets, const std::vector<HeaderLine>& headers,
                     const std::string& body, int64_t now_s = kNowS) {
  const Profile& profile = *FindProfile(provider);
  const Result<SignatureVerifier> verifier = SignatureVerifier::Create(profile, secrets, {});
  if (!verifier.ok()) return "unusable: " + verifier.status().message();
  const WebhookRequest request{"POST", "/", "https://x/", headers, body};
  RequestReader reader(request, profile.paths);
  return std::string(SignatureReasonName(verifier->Verify(reader, {now_s * 1000, now_s * 1000}).reason));
}

class Certificates : public testing::Test {
 protected:
  Certificates() {
    root_.certificate = MakeCertificate(root_, "Test Root", nullptr, true);
    stranger_.certificate = MakeCertificate(stranger_, "Test Root", nullptr, true);
  }
  std::string SnsBody(const Key& key, const std::string& url = "https://sns.us-east-1.amazonaws.com/a.pem") const {
    const std::string content =
        "Message\nhi\nMessageId\nm1\nTimestamp\n2023-11-14T22:13:20.000Z\nTopicArn\narn\nType\nNotification\n";
    return R"({"Type":"Notification","MessageId":"m1","TopicArn":"arn","Message":"hi","Timestamp":"2023-11-14T22:13:20.000Z",)"
           R"("SignatureVersion":"2","SigningCertURL":")" +
           url + R"(","Signature":")" + SignBase64(key, content) + "\"}";
  }
  // The leaf's certificate with the root's behind it.
  std::string Chain(const Certificate& leaf, const Identity& root) const { return Pem(leaf) + Pem(root.certificate); }

  // Making RSA keys takes a while: once for all tests.
  static Identity Kept(int which) {
    static const std::vector<Key> keys{NewRsaKey(), NewRsaKey(), NewRsaKey()};
    return {keys[static_cast<size_t>(which)], nullptr};
  }
  Identity root_ = Kept(0);
  Identity stranger_ = Kept(1);
  Identity leaf_ = Kept(2);
};

TEST_F(Certificates, SnsTrustsAChainOfTheFileAndNothingElse) {
  const Certificate good = MakeCertificate(leaf_, "sns.amazonaws.com", &root_, false);
  const std::string body = SnsBody(leaf_.key);
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, root_), {}, body), "none");
  EXPECT_EQ(ReasonOf("aws_sns", Pem(good), {}, body), "none") << "alone: pinned";
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, stranger_), {}, body), "certificate") << "a root of the same name";
  EXPECT_EQ(ReasonOf("aws_sns", Chain(MakeCertificate(leaf_, "sns.amazonaws.com.evil.example", &root_, false), root_),
                     {}, body),
            "certificate");
  const Certificate expired = MakeCertificate(leaf_, "sns.amazonaws.com", &root_, false, kNowS - 60);
  EXPECT_EQ(ReasonOf("aws_sns", Chain(expired, root_), {}, body), "certificate");
  EXPECT_EQ(ReasonOf("aws_sns", Pem(expired), {}, body), "certificate") << "pinned ones expire, too";
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, root_), {}, body, kNowS - 2 * kDayS), "certificate") << "not valid yet";
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, root_), {}, SnsBody(stranger_.key)), "mismatch");
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, root_), {{"x-amz-sns-message-type", "SubscriptionConfirmation"}}, body),
            "malformed");
  EXPECT_EQ(ReasonOf("aws_sns", "whsec_x", {}, body).substr(0, 9), "unusable:");
  const std::string twice = body.substr(0, body.rfind('}')) + R"(,"Message":"forged"})";
  EXPECT_EQ(ReasonOf("aws_sns", Chain(good, root_), {}, twice), "malformed") << "most parsers take the last one";
}

TEST(Adyen, WhatIsNotSignedIsNotTaken) {
  const Profile& adyen = *FindProfile("adyen");
  const ProviderDelivery signed_one = Sign(adyen, SampleOf(adyen), adyen.sample->secret, "", 0);
  ASSERT_NE(signed_one.body.find("NotificationRequestItem"), std::string::npos) << signed_one.body;
  ASSERT_EQ(ReasonOf("adyen", adyen.sample->secret, {}, signed_one.body), "none");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string body = signed_one.body;
    const size_t at = body.find(from);
    EXPECT_NE(at, std::string::npos) << from << " in " << body;
    return at == std::string::npos ? body : body.replace(at, from.size(), to);
  };
  EXPECT_EQ(ReasonOf("adyen", adyen.sample->secret, {},
                     with("\"notificationItems\":[", "\"notificationItems\":[{\"notificationRequestItem\":{}},")),
            "missing");
  EXPECT_EQ(ReasonOf("adyen", adyen.sample->secret, {},
                     with("{\"NotificationRequestItem\":",
                          "{\"notificationrequestitem\":{\"eventCode\":\"REFUND\"},\"NotificationRequestItem\":")),
            "malformed");
}

TEST_F(Certificates, SnsNamesAreNotLookedUpElsewhere) {
  const std::string chain = Chain(MakeCertificate(leaf_, "sns.amazonaws.com", &root_, false), root_);
  for (const char* url :
       {"http://sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
        "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example/sns.us-east-1.amazonaws.com/a.pem", "https://sns.s3.us-east-1.amazonaws.com/a.pem",
        "https://sns.amazonaws.com/a.pem", "https://bucket.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com:8443/a.pem", "https://sns.us-east-1.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com/a"})
    EXPECT_EQ(ReasonOf("aws_sns", chain, {}, SnsBody(leaf_.key, url)), "certificate") << url;
  EXPECT_EQ(ReasonOf("aws_sns", chain, {}, SnsBody(leaf_.key, "https://sns.cn-north-1.amazonaws.com.cn/a.pem")),
            "none");
}

TEST_F(Certificates, PaypalBindsIdTimeWebhookAndBody) {
  const std::string chain = Chain(MakeCertificate(leaf_, "messageverificationcerts.paypal.com", &root_, false), root_);
  const std::string body = "hello";  // its CRC-32 is 907060870
  const std::string signature = SignBase64(leaf_.key, "t1|2023-11-14T22:13:20Z|WH1|907060870");
  const auto headers = [&signature](std::string_view id, std::string_view url) {
    return std::vector<HeaderLine>{{"PAYPAL-TRANSMISSION-ID", id},
                                   {"PAYPAL-TRANSMISSION-TIME", "2023-11-14T22:13:20Z"},
                                   {"PAYPAL-TRANSMISSION-SIG", signature},
                                   {"PAYPAL-AUTH-ALGO", "SHA256withRSA"},
                                   {"PAYPAL-CERT-URL", url}};
  };
  const std::string url = "https://api.paypal.com/v1/notifications/certs/C";
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1\n" + chain, headers("t1", url), body), "none");
  EXPECT_EQ(ReasonOf("paypal", chain + "webhook_id=WH2\nwebhook_id=WH1\n", headers("t1", url), body), "none");
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH2\n" + chain, headers("t1", url), body), "mismatch");
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1\n" + chain, headers("t2", url), body), "mismatch");
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1\n" + chain, headers("t1", url), "hellp"), "mismatch");
  for (const char* other :
       {"https://api.paypal.com.evil.example/C", "https://evilpaypal.com/C", "http://api.paypal.com/C"})
    EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1\n" + chain, headers("t1", other), body), "certificate") << other;
  const std::string lookalike = Chain(MakeCertificate(leaf_, "messages.evilpaypal.com", &root_, false), root_);
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1\n" + lookalike, headers("t1", url), body), "certificate");
  EXPECT_EQ(ReasonOf("paypal", "webhook_id=WH1", headers("t1", url), body).substr(0, 9), "unusable:");
  EXPECT_EQ(ReasonOf("paypal", chain, headers("t1", url), body).substr(0, 9), "unusable:");
}

TEST(SendGrid, SignsTimeAndBodyWithEcdsa) {
  const Key key = NewEcKey();
  const std::string secret = PublicKeyBase64(key);
  const std::string body = "[{\"sg_event_id\":\"e1\"}]\r\n";
  const std::string signature = SignBase64(key, "1600112502" + body);
  const std::vector<HeaderLine> headers{{"X-Twilio-Email-Event-Webhook-Signature", signature},
                                        {"X-Twilio-Email-Event-Webhook-Timestamp", "1600112502"}};
  EXPECT_EQ(ReasonOf("sendgrid", secret, headers, body), "none");
  EXPECT_EQ(ReasonOf("sendgrid", secret, headers, body.substr(0, body.size() - 2)), "mismatch");
  EXPECT_EQ(ReasonOf("sendgrid", secret, {headers[0]}, body), "missing");
  EXPECT_EQ(ReasonOf("sendgrid", "bm90IGEga2V5", headers, body).substr(0, 9), "unusable:");
}

TEST(SignatureVerifier, ReadsSecretsAsTheyStand) {
  EXPECT_EQ(SplitSecrets("a\r\nb \n\n-----BEGIN X-----\nq\n-----END X-----\nc")->size(), 4U);
  EXPECT_EQ((*SplitSecrets("a \nb"))[0], "a ");
  EXPECT_FALSE(SplitSecrets("\n\n").ok());
  std::string many;
  for (size_t i = 0; i <= SignatureVerifier::kSecretsMax; ++i) many += "s\n";
  EXPECT_FALSE(SplitSecrets(many).ok());
}

// A header with an endless list of signatures costs no endless work; a dot in a signed id has only one reading.
TEST(SignatureVerifier, LimitsAndAmbiguities) {
  const std::string secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const std::string right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
  const std::string body = R"({"test": 2432232314})";
  const auto reason = [&](const std::string& signature, std::string_view id) {
    return ReasonOf("standard_webhooks", secret,
                    {{"webhook-id", id}, {"webhook-timestamp", "1614265330"}, {"webhook-signature", signature}}, body,
                    1614265330);
  };
  EXPECT_EQ(reason(right, "msg_p5jXN8AQM9LWM0D4loKWxJek"), "none");
  std::string many;
  for (size_t i = 0; i < SignatureVerifier::kCandidatesMax; ++i) many += "v1,AAAA ";
  EXPECT_EQ(reason(many + right, "msg_p5jXN8AQM9LWM0D4loKWxJek"), "mismatch");
  EXPECT_EQ(reason(right, "msg.1"), "malformed");
}

}  // namespace
}  // namespace oncegate

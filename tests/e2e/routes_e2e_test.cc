// Several applications and providers behind one server: the real binary, its routes file and SIGHUP.

#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>

#include "base/clock.h"
#include "tests/e2e/counting_app.h"
#include "tests/e2e/process.h"
#include "tests/support/provider_signer.h"
#include "tests/support/raw_client.h"
#include "webhook/profile.h"

namespace oncegate {
namespace {

class RoutesE2e : public testing::Test {
 protected:
  RoutesE2e() {
    for (const char* provider : {"github", "stripe"})
      Write(std::string(provider) + ".secret", FindProfile(provider)->sample->secret + "\n");
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  // GitHub's deliveries for one application, Stripe's for the other.
  void WriteRoutes(const std::string& more = {}) const {
    const auto route = [this](const std::string& provider, const std::string& upstream) {
      return R"({"name":")" + provider + R"(","prefix":"/hooks/)" + provider + R"(","provider":")" + provider +
             R"(","secret-file":")" + (dir_ / (provider + ".secret")) + R"(","upstream":")" + upstream + "\"}";
    };
    Write("routes.json",
          R"({"routes":[)" + route("github", one_.url()) + "," + route("stripe", two_.url()) + more + "]}");
  }
  void Serve() {
    server_ = std::make_unique<ServeProcess>(std::vector<std::string>{"--routes", dir_ / "routes.json", "--data-dir",
                                                                      dir_ / "data", "--durability", "async"});
    ASSERT_TRUE(server_->listening()) << server_->Err();
  }
  [[nodiscard]] static ProviderDelivery Signed(const std::string& provider, const std::string& target) {
    const Profile& profile = *FindProfile(provider);
    ProviderDelivery delivery = SampleOf(profile);
    delivery.target = target;
    return Sign(profile, delivery, profile.sample->secret, "https://hooks.example.com" + target,
                SystemClock().WallMs() / 1000);
  }
  [[nodiscard]] std::string Ask(const std::string& request) const {
    RawClient client(server_->gateway_port());
    client.Send(request);
    return client.Receive().Verdict();
  }
  [[nodiscard]] std::string Verdict(const ProviderDelivery& delivery) const { return Ask(WireText(delivery)); }
  [[nodiscard]] std::string PostTo(const std::string& target) const {
    return Ask("POST " + target + " HTTP/1.1\r\nHost: app\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}");
  }
  // SIGHUP, until the condition holds.
  template <typename Condition>
  void Reload(const Condition& done) const {
    server_->Signal(SIGHUP);
    const int64_t patience_end_ms = SystemClock().SteadyMs() + 20'000;
    while (!done() && SystemClock().SteadyMs() < patience_end_ms) {
    }
    EXPECT_TRUE(done()) << server_->Err();
  }

  TempDir dir_;
  CountingApp one_;
  CountingApp two_;
  std::unique_ptr<ServeProcess> server_;
};

TEST_F(RoutesE2e, TwoProvidersGoToTwoApplications) {
  WriteRoutes();
  Serve();
  const ProviderDelivery push = Signed("github", "/hooks/github");
  const ProviderDelivery paid = Signed("stripe", "/hooks/stripe/eu?x=1");
  EXPECT_EQ(Verdict(push), "200 executed");
  EXPECT_EQ(Verdict(push), "200 replayed");
  EXPECT_EQ(Verdict(paid), "200 executed");
  EXPECT_EQ(Verdict(Signed("stripe", "/hooks/stripe/eu?x=1")), "200 replayed") << "signed anew";
  EXPECT_EQ(one_.Executions(FindProfile("github")->sample->key), 1);
  EXPECT_EQ(two_.Executions(FindProfile("stripe")->sample->key), 1);
  EXPECT_EQ(one_.Total() + two_.Total(), 2);
  EXPECT_EQ(two_.LastRequest(FindProfile("stripe")->sample->key).rfind("POST /hooks/stripe/eu?x=1 HTTP/1.1\r\n", 0), 0U)
      << "the prefix is not stripped";

  EXPECT_EQ(Verdict(Signed("github", "/hooks/stripe")), "401 signature-invalid") << "another provider's signature";
  EXPECT_EQ(PostTo("/hooks/%67ithub"), "401 signature-invalid") << "an encoded letter passes no signature by";
  EXPECT_EQ(PostTo("/hooks/github2"), "404 not-found");
  EXPECT_EQ(PostTo("/hooks/x/../github"), "400 bad-request");
  EXPECT_EQ(one_.Total() + two_.Total(), 2);

  const CommandResult list = RunOncegate({"list", "--json", "--scope", "stripe", "--control", server_->control_url()});
  EXPECT_NE(list.out.find(FindProfile("stripe")->sample->key), std::string::npos) << list.out << list.err;
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(RoutesE2e, SighupTakesGoodRoutesAndKeepsTheOldOnesBeforeABadFile) {
  WriteRoutes();
  Serve();
  EXPECT_EQ(PostTo("/orders"), "404 not-found");
  const std::string orders = R"(,{"name":"orders","prefix":"/orders","upstream":")" + two_.url() + "\"";
  WriteRoutes(orders + "}");
  Reload([this] { return PostTo("/orders") == "200 replayed"; });
  EXPECT_EQ(two_.Executions("k"), 1);

  WriteRoutes(orders + R"(,"tll":"1h"})");
  const std::string complaint = "routes.json: route 'orders': 'tll' is not known; is 'ttl' meant?";
  Reload([this, &complaint] { return server_->Err().find(complaint) != std::string::npos; });
  EXPECT_NE(server_->Err().find("the old one stays in force"), std::string::npos) << server_->Err();
  EXPECT_EQ(PostTo("/orders"), "200 replayed");
  EXPECT_EQ(Verdict(Signed("github", "/hooks/github")), "200 executed");

  // A new secret in the old file counts from then on.
  WriteRoutes();
  Write("github.secret", "another\n");
  Reload([this] { return Verdict(Signed("github", "/hooks/github")) == "401 signature-invalid"; });
  EXPECT_EQ(PostTo("/orders"), "404 not-found");
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(RoutesE2e, ARoutesFileThatCannotBeUsedEndsWithExitCode2) {
  WriteRoutes(R"(,{"name":"orders"})");
  const CommandResult result = RunOncegate({"serve", "--routes", dir_ / "routes.json", "--data-dir", dir_ / "data"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "oncegate: " + (dir_ / "routes.json") + ": route 'orders': has no 'prefix', the beginning of its paths\n");
}

}  // namespace
}  // namespace oncegate

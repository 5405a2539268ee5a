// What a provider's profile changes in the life of a request.

#include "gateway/provider.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/gateway/gateway_fixture.h"
#include "tests/support/provider_signer.h"

namespace oncegate {
namespace {

class ProviderGatewayTest : public GatewayTest {
 protected:
  Route RouteOf(const std::string& name) {
    const Profile& profile = *FindProfile(name);
    auto provider = std::make_shared<ProviderRoute>();
    provider->profile = std::make_shared<const Profile>(profile);
    provider->verifier.emplace(*SignatureVerifier::Create(*provider->profile, profile.sample->secret, {}));
    provider->public_url = "https://hooks.example.com";
    Route route;
    route.key_headers.clear();
    route.provider = std::move(provider);
    return route;
  }
  Call SendDelivery(const ProviderDelivery& delivery, const std::string& fields = {}) {
    std::string lines = fields;
    for (const auto& [name, value] : delivery.headers) lines += name + ": " + value + "\r\n";
    return Send("POST", lines, delivery.body, delivery.target);
  }
  // A signed delivery of GitHub's; the id is not signed.
  static ProviderDelivery Github(const std::string& id) {
    const Profile& github = *FindProfile("github");
    ProviderDelivery delivery = SampleOf(github);
    ReplaceEverywhere(github.sample->key, id, &delivery);
    return Sign(github, delivery, github.sample->secret, "", 0);
  }
  static constexpr char kHold[] = "X-Hold: yes\r\n";
};

TEST_F(ProviderGatewayTest, OneBodyUnderTwoIdsAtOnceIsExecutedOnce) {
  Start(RouteOf("github"));
  Call first = SendDelivery(Github("id-1"), kHold);
  upstream_.AwaitRequests(1);
  Call second = SendDelivery(Github("id-2"), kHold);
  Call retry = SendDelivery(Github("id-1"), kHold);
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
  EXPECT_EQ(Verdict(second.Get()), "200 replayed");
  EXPECT_EQ(Verdict(retry.Get()), "200 replayed");
  EXPECT_EQ(Verdict(SendDelivery(Github("id-3")).Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(ProviderGatewayTest, LeavingOutTheIdExecutesNothingAgain) {
  Start(RouteOf("github"));
  const auto anonymous = [](ProviderDelivery delivery) {
    std::erase_if(delivery.headers, [](const auto& header) { return SameName(header.first, "X-GitHub-Delivery"); });
    return delivery;
  };
  Call first = SendDelivery(Github("id-1"), kHold);
  upstream_.AwaitRequests(1);
  Call meanwhile = SendDelivery(anonymous(Github("id-1")));
  upstream_.OpenGate();
  EXPECT_EQ(Verdict(first.Get()), "200 executed");
  EXPECT_EQ(Verdict(meanwhile.Get()), "200 replayed");
  EXPECT_EQ(Verdict(SendDelivery(anonymous(Github("id-1"))).Get()), "200 replayed");
  EXPECT_EQ(upstream_.executions(), 1U);

  // Of what nothing is known there is no key.
  const Profile& github = *FindProfile("github");
  ProviderDelivery other = SampleOf(github);
  other.body += " ";
  const ProviderDelivery unknown = anonymous(Sign(github, other, github.sample->secret, "", 0));
  EXPECT_EQ(Verdict(SendDelivery(unknown).Get()), "200 unkeyed");
}

TEST_F(ProviderGatewayTest, DeliveriesWithoutIdsAreNotOneWhenTheStoreFails) {
  Route route = RouteOf("github");
  route.on_store_error = StoreErrorPolicy::kForward;
  Start(route);
  store_.fail_gets = true;
  const Profile& github = *FindProfile("github");
  std::vector<Call> calls;
  for (const char* end : {" ", "  "}) {
    ProviderDelivery delivery = SampleOf(github);
    delivery.body += end;
    delivery = Sign(github, delivery, github.sample->secret, "", 0);
    std::erase_if(delivery.headers, [](const auto& header) { return SameName(header.first, "X-GitHub-Delivery"); });
    calls.push_back(SendDelivery(delivery, kHold));
  }
  upstream_.AwaitRequests(2);
  upstream_.OpenGate();
  for (Call& call : calls) EXPECT_EQ(Verdict(call.Get()), "200 unkeyed");
}

TEST_F(ProviderGatewayTest, AFailedDeliveryIsExecutedAgainUnderAnyId) {
  Start(RouteOf("github"));
  upstream_.Answer(500, "no");
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "500 executed");
  upstream_.Answer(200, "yes");
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "200 executed") << "a redelivery by hand keeps its id";
  EXPECT_EQ(Verdict(SendDelivery(Github("id-2")).Get()), "200 replayed");
}

TEST_F(ProviderGatewayTest, AnUnknownOutcomeHoldsForTheBodyToo) {
  Start(RouteOf("github"));
  upstream_.Fail(ForwardEnd::kTimedOut);
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "504 upstream-timeout");
  upstream_.Answer(200, "yes");
  EXPECT_EQ(Verdict(SendDelivery(Github("id-2")).Get()), "409 outcome-unknown");
  EXPECT_EQ(upstream_.executions(), 1U);
}

TEST_F(ProviderGatewayTest, ForgeriesAreCountedByReasonAndReserveNothing) {
  Start(RouteOf("github"));
  ProviderDelivery forged = Github("id-1");
  forged.body += " ";
  const Seen seen = SendDelivery(forged).Get();
  EXPECT_EQ(Verdict(seen), "401 signature-invalid");
  EXPECT_EQ(seen.body.find("sha256"), std::string::npos) << seen.body;
  ProviderDelivery unsigned_one = Github("id-1");
  unsigned_one.headers.pop_back();
  EXPECT_EQ(Verdict(SendDelivery(unsigned_one).Get()), "401 signature-invalid");
  EXPECT_EQ(gateway_->meter().SignatureFailures(SignatureReason::kMismatch), 1U);
  EXPECT_EQ(gateway_->meter().SignatureFailures(SignatureReason::kMissing), 1U);
  EXPECT_EQ(upstream_.executions(), 0U);
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "200 executed");
}

TEST_F(ProviderGatewayTest, WithoutDedupeSignaturesStillCount) {
  Route route = RouteOf("github");
  route.dedupe = Dedupe::kOff;
  Start(route);
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "200 passed");
  EXPECT_EQ(Verdict(SendDelivery(Github("id-1")).Get()), "200 passed");
  ProviderDelivery forged = Github("id-1");
  forged.body += " ";
  EXPECT_EQ(Verdict(SendDelivery(forged).Get()), "401 signature-invalid");
}

TEST_F(ProviderGatewayTest, LargeBodiesAreCheckedOnAWorker) {
  Start(RouteOf("github"));
  const Profile& github = *FindProfile("github");
  ProviderDelivery large = SampleOf(github);
  large.body = "\"" + std::string(3 << 20, 'x') + "\"";
  ProviderDelivery good = Sign(github, large, github.sample->secret, "", 0);
  EXPECT_EQ(Verdict(SendDelivery(good).Get()), "200 executed");
  EXPECT_EQ(Verdict(SendDelivery(good).Get()), "200 replayed");
  good.body[7] = 'y';
  EXPECT_EQ(Verdict(SendDelivery(good).Get()), "401 signature-invalid");
}

}  // namespace
}  // namespace oncegate

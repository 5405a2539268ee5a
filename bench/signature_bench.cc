// What a provider's signature costs a request: reading header and time, HMAC over a body of 1 KiB, comparing; and with
// the key out of the body.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/hash.h"
#include "webhook/crypto.h"
#include "webhook/identity.h"
#include "webhook/profile.h"
#include "webhook/verifier.h"

namespace oncegate {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'000;

std::string Body(size_t bytes) {
  std::string body = R"({"id":"evt_1PqXyZ2eZvKYlo2C","object":"event","type":"invoice.paid","data":{"note":")";
  body.append(bytes - body.size() - 3, 'n');
  return body + "\"}}";
}

// A signed request of Stripe's or GitHub's, checked with `secrets` secrets of which the last is the right one.
class Signed {
 public:
  Signed(const std::string& provider, size_t body_bytes, int64_t secrets)
      : profile_(*FindProfile(provider)), body_(Body(body_bytes)) {
    const HmacKey key(Digest::kSha256, "right secret");
    header_ = profile_.name == "stripe" ? "t=1700000000,v1=" + ToHex(key.Sign({"1700000000.", body_}))
                                        : "sha256=" + ToHex(key.Sign({body_}));
    headers_ = {{"Host", "hooks.example.com"},
                {"Content-Type", "application/json"},
                {profile_.name == "stripe" ? "Stripe-Signature" : "X-Hub-Signature-256", header_}};
    for (int64_t i = 1; i < secrets; ++i) secrets_ += "other secret " + std::to_string(i) + "\n";
    secrets_ += "right secret\n";
  }
  [[nodiscard]] SignatureVerifier MakeVerifier() const { return *SignatureVerifier::Create(profile_, secrets_, {}); }
  [[nodiscard]] const Profile& profile() const { return profile_; }
  [[nodiscard]] WebhookRequest request() const {
    return {"POST", "/webhook", "https://hooks.example.com/webhook", headers_, body_};
  }

 private:
  const Profile& profile_;
  const std::string body_;
  std::string header_;
  std::vector<HeaderLine> headers_;
  std::string secrets_;
};

void Verify(benchmark::State& state, const Signed& signed_request, bool with_key) {
  const SignatureVerifier verifier = signed_request.MakeVerifier();
  const WebhookRequest request = signed_request.request();
  for (auto _ : state) {
    RequestReader reader(request, signed_request.profile().paths);
    const SignatureVerdict verdict = verifier.Verify(reader, {kNowMs, kNowMs});
    if (!verdict.valid()) state.SkipWithError("not valid");
    if (with_key) benchmark::DoNotOptimize(WebhookKey(signed_request.profile(), reader));
  }
}

void BM_VerifyStripe(benchmark::State& state) {
  Verify(state, Signed("stripe", static_cast<size_t>(state.range(0)), 1), false);
}
BENCHMARK(BM_VerifyStripe)->Arg(1024)->Arg(65'536);

void BM_VerifyStripeAndKey(benchmark::State& state) {
  Verify(state, Signed("stripe", 1024, 1), true);
}
BENCHMARK(BM_VerifyStripeAndKey);

void BM_VerifyGithubSecrets(benchmark::State& state) {
  Verify(state, Signed("github", 1024, state.range(0)), false);
}
BENCHMARK(BM_VerifyGithubSecrets)->Arg(1)->Arg(4);

}  // namespace
}  // namespace oncegate

// What every request pays before and besides the store: the decision, the fingerprint, the key.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "core/decide.h"
#include "core/fingerprint.h"
#include "core/key.h"
#include "webhook/json_pointer.h"

namespace oncegate {
namespace {

// A webhook of the given size, shaped like those that payment providers send.
std::string Webhook(size_t bytes) {
  std::string body =
      R"({"id":"evt_1PqXyZ2eZvKYlo2C","object":"event","type":"order.created","data":{"object":{"id":42,"note":")";
  const std::string end = R"("}}})";
  if (body.size() + end.size() < bytes) body.append(bytes - body.size() - end.size(), 'n');
  return body + end;
}

void BM_Decide(benchmark::State& state) {
  const Fingerprint print = MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", "/webhook", "body"});
  const RecordFacts record{.state = RecordState::kCompleted, .expires_at_ms = 2, .fingerprint = print};
  const RequestFacts request{.fingerprint = print};
  for (auto _ : state) benchmark::DoNotOptimize(Decide(&record, request, 1));
}
BENCHMARK(BM_Decide);

void BM_Fingerprint(benchmark::State& state) {
  const std::string body = Webhook(static_cast<size_t>(state.range(0)));
  for (auto _ : state)
    benchmark::DoNotOptimize(MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", "/webhook?shop=1", body}));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(BM_Fingerprint)->Arg(512)->Arg(4096)->Arg(65536);

void BM_KeyFromHeader(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(KeyFromHeaderValue("evt_1PqXyZ2eZvKYlo2C0123456789"));
}
BENCHMARK(BM_KeyFromHeader);

void BM_KeyFromBody(benchmark::State& state) {
  const std::string body = Webhook(static_cast<size_t>(state.range(0)));
  const std::vector<JsonPointer> pointers{JsonPointer::Parse("/id").value(),
                                          JsonPointer::Parse("/data/object/id").value()};
  for (auto _ : state) benchmark::DoNotOptimize(ExtractJson(body, pointers));
}
BENCHMARK(BM_KeyFromBody)->Arg(512)->Arg(4096);

}  // namespace
}  // namespace oncegate

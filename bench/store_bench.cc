// The store: reads on the replay lane, claims with and without durability, cleanup, the record format.

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "store/codec.h"
#include "store/rocksdb_store.h"

namespace oncegate {
namespace {

constexpr int64_t kHourMs = 3'600'000;

// A store in a directory of its own that goes with it.
struct BenchStore {
  explicit BenchStore(Durability durability) {
    std::string name = (std::filesystem::temp_directory_path() / "oncegate-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    root = name;
    Result<std::unique_ptr<Store>> opened = OpenRocksDbStore(
        {.directory = root + "/data", .durability = durability, .cleanup_interval_ms = 0}, clock, logger);
    if (!opened.ok()) std::abort();
    store = std::move(opened).value();
  }
  ~BenchStore() {
    store.reset();
    std::filesystem::remove_all(root);
  }
  BenchStore(const BenchStore&) = delete;
  BenchStore& operator=(const BenchStore&) = delete;

  void ClaimAndComplete(const std::string& key) {
    ClaimRequest claim;
    claim.key = ScopedKey("default", key);
    claim.type = "order";
    claim.ttl_ms = kHourMs;
    Result<ClaimResult> result = store->Claim(claim, {});
    if (!result.ok() || !std::holds_alternative<Claimed>(*result)) std::abort();
    const StoredResponse response{
        .status = 200,
        .head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n",
        .body = std::string(500, 'b')};
    if (!store->Complete(claim.key, std::get<Claimed>(*result).token, response).ok()) std::abort();
  }

  ManualClock clock{1'800'000'000'000};
  Logger logger{LogFormat::kText, LogLevel::kError};
  std::string root;
  std::unique_ptr<Store> store;
};

void BM_GetHit(benchmark::State& state) {
  BenchStore bench(Durability::kAsync);
  const auto keys = static_cast<size_t>(state.range(0));
  for (size_t i = 0; i < keys; ++i) bench.ClaimAndComplete("k" + std::to_string(i));
  size_t i = 0;
  for (auto _ : state) {
    const ScopedKey key("default", "k" + std::to_string(i++ * 7919 % keys));
    benchmark::DoNotOptimize(bench.store->Get(key, RecordParts::kReplay));
  }
}
BENCHMARK(BM_GetHit)->Arg(1)->Arg(1000);

void BM_GetMiss(benchmark::State& state) {
  BenchStore bench(Durability::kAsync);
  for (int i = 0; i < 1000; ++i) bench.ClaimAndComplete("k" + std::to_string(i));
  const ScopedKey key("default", "absent");
  for (auto _ : state) benchmark::DoNotOptimize(bench.store->Get(key, RecordParts::kReplay));
}
BENCHMARK(BM_GetMiss);

// A claim and its completion, each of them durable as the argument says (0: sync, 1: async).
void BM_ClaimAndComplete(benchmark::State& state) {
  static std::unique_ptr<BenchStore> bench;
  static std::atomic<int64_t> next{0};
  if (state.thread_index() == 0)
    bench = std::make_unique<BenchStore>(state.range(0) == 0 ? Durability::kSync : Durability::kAsync);
  for (auto _ : state) bench->ClaimAndComplete("k" + std::to_string(next++));
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) bench.reset();
}
BENCHMARK(BM_ClaimAndComplete)->ArgName("async")->Arg(0)->Arg(1)->Threads(1)->Threads(16)->UseRealTime();

void BM_CleanupOf1000(benchmark::State& state) {
  BenchStore bench(Durability::kAsync);
  int64_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < 1000; ++i) bench.ClaimAndComplete("k" + std::to_string(next++));
    bench.clock.Advance(kHourMs);
    state.ResumeTiming();
    Result<CleanupReport> report = bench.store->Cleanup();
    if (!report.ok() || report->removed != 1000) std::abort();
  }
}
BENCHMARK(BM_CleanupOf1000)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_Stats(benchmark::State& state) {
  BenchStore bench(Durability::kAsync);
  for (int i = 0; i < 10'000; ++i) {
    bench.ClaimAndComplete("k" + std::to_string(i));
    bench.clock.Advance(300);
  }
  for (auto _ : state) benchmark::DoNotOptimize(bench.store->Stats());
}
BENCHMARK(BM_Stats);

store::StoredRecord SomeRecord() {
  store::StoredRecord stored;
  stored.record.key = ScopedKey("default", "evt_1");
  stored.record.type = "order";
  stored.record.fingerprint.emplace();
  stored.record.response = StoredResponse{.status = 200, .head = std::string(90, 'h'), .body = std::string(500, 'b')};
  return stored;
}

void BM_Encode(benchmark::State& state) {
  const store::StoredRecord stored = SomeRecord();
  for (auto _ : state) benchmark::DoNotOptimize(store::EncodeRecord(stored));
}
BENCHMARK(BM_Encode);

void BM_Decode(benchmark::State& state) {
  const std::string value = store::EncodeRecord(SomeRecord());
  const ScopedKey key("default", "evt_1");
  for (auto _ : state) {
    store::StoredRecord decoded;
    if (!store::DecodeRecord(key, value, RecordParts::kReplay, &decoded).ok()) std::abort();
    benchmark::DoNotOptimize(decoded);
  }
}
BENCHMARK(BM_Decode);

}  // namespace
}  // namespace oncegate

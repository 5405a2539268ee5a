#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "bench/scale/corpus.h"
#include "bench/scale/machine.h"
#include "bench/scale/phases.h"
#include "store/rocksdb_store.h"

namespace oncegate::scale {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int64_t kLoadSpanMs = 12LL * 3'600'000;
// Larger than the server's, so that less is rewritten while loading. What is on disk in the end is the same.
constexpr int64_t kLoadMemtableBytes = 512LL << 20;
// The clock of the load moves once for so many deliveries.
constexpr uint64_t kDeliveriesATick = 256;
// The goal: what may be left on disk once everything has expired.
constexpr double kLeftShareMax = 0.02;
// A log reserves some 70 MiB, however little is in it.
constexpr double kLeftBytesMin = 96 << 20;
constexpr int kReclaimSMax = 1200;

double SecondsSince(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

std::unique_ptr<Store> Open(const Plan& plan, const Clock& clock, Logger& logger, int64_t cleanup_interval_ms,
                            int64_t memtable_bytes = RocksDbStoreOptions().memtable_bytes) {
  Result<std::unique_ptr<Store>> opened = OpenRocksDbStore({.directory = plan.directory,
                                                            .durability = Durability::kAsync,
                                                            .cleanup_interval_ms = cleanup_interval_ms,
                                                            .memtable_bytes = memtable_bytes},
                                                           clock, logger);
  if (!opened.ok()) Die(opened.status().message());
  return std::move(opened).value();
}

// As the gateway does it. Returns the payload's size.
size_t Store1(Store& store, uint64_t number) {
  Delivery delivery = DeliveryOf(number);
  const size_t bytes = delivery.PayloadBytes();
  const RequestFacts facts{
      .fingerprint = MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", kTarget, delivery.request_body})};
  ClaimRequest claim;
  claim.key = ScopedKey("default", delivery.key);
  claim.type = delivery.type;
  claim.ttl_ms = delivery.ttl_ms;
  claim.source_ip = "203.0.113." + std::to_string(number % 250);
  claim.request = StoredRequest{.method = "POST",
                                .target = kTarget,
                                .fields = std::move(delivery.request_fields),
                                .body = std::move(delivery.request_body),
                                .body_kept = true};
  Result<ClaimResult> result = store.Claim(claim, facts);
  if (!result.ok() || !std::holds_alternative<Claimed>(*result)) Die("a claim failed: " + result.status().message());
  const Status status = store.Complete(claim.key, std::get<Claimed>(*result).token,
                                       {.status = 200,
                                        .head = std::move(delivery.response_head),
                                        .body = std::move(delivery.response_body),
                                        .body_kept = true});
  if (!status.ok()) Die("a completion failed: " + status.message());
  return bytes;
}

}  // namespace

void Print(const std::string& name, double value, const std::string& unit) {
  std::printf("%-52s %12.3f %s\n", name.c_str(), value, unit.c_str());
  std::fflush(stdout);
}

void Load(const Plan& plan, Logger& logger) {
  ManualClock clock(SystemClock().WallMs() - kLoadSpanMs);
  std::unique_ptr<Store> store = Open(plan, clock, logger, 0, kLoadMemtableBytes);
  const Usage before = UsageOf(getpid());
  const auto start = Steady::now();
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> payload{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < plan.threads; ++i)
    threads.emplace_back([&] {
      for (uint64_t number = 0; (number = next++) < plan.records;) {
        payload += Store1(*store, number);
        if (number % kDeliveriesATick == 0)
          clock.Advance(static_cast<int64_t>(static_cast<double>(kLoadSpanMs) * kDeliveriesATick /
                                             static_cast<double>(plan.records)));
      }
    });
  for (std::thread& thread : threads) thread.join();
  const auto records = static_cast<double>(plan.records);
  const double seconds = SecondsSince(start);
  Print("load: deliveries", records / seconds, "/s");
  const uint64_t peak = DirectoryBytes(plan.directory);
  const uint64_t bytes = BytesWhenSettled(plan.directory, plan.settle_s);
  const Usage after = UsageOf(getpid());
  const auto paid = static_cast<double>(payload.load());
  Print("load: payload a record", paid / records, "B");
  Print("load: CPU a record, compactions included", (after.cpu_s - before.cpu_s) / records * 1e6, "us");
  Print("load: written to disk / payload (write amplification)",
        static_cast<double>(after.disk_written_bytes - before.disk_written_bytes) / paid, "x");
  Print("disk: at the end of the load, all files / payload", static_cast<double>(peak) / paid, "x");
  Print("disk: settled, all files a record", static_cast<double>(bytes) / records, "B");
  Print("disk: settled, all files / payload", static_cast<double>(bytes) / paid, "x");
  const auto tables = static_cast<double>(DirectoryBytes(plan.directory, ".sst"));
  Print("disk: settled, tables / payload", tables / paid, "x");
  Print("memory: loading process", static_cast<double>(ResidentBytes(getpid())) / (1 << 20), "MiB");
}

void ReadStore(const Plan& plan, Logger& logger) {
  const SystemClock clock;
  const auto opened_at = Steady::now();
  const std::unique_ptr<Store> store = Open(plan, clock, logger, 0);
  Print("store: opening", SecondsSince(opened_at), "s");
  for (;;) {
    Result<StoreStats> stats = store->Stats();
    if (!stats.ok()) Die(stats.status().message());
    if (stats->exact) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  Print("store: opening until statistics are exact", SecondsSince(opened_at), "s");
  std::vector<double> micros;
  for (int i = 0; i < 100; ++i) {
    const auto start = Steady::now();
    if (!store->Stats().ok()) Die("no statistics");
    micros.push_back(SecondsSince(start) * 1e6);
  }
  Print("store: Stats, median", Percentile(&micros, 0.5), "us");
  Print("store: Stats, longest of 100", micros.back(), "us");
  micros.clear();
  const auto began = Steady::now();
  for (uint64_t i = 0; SecondsSince(began) < plan.seconds; ++i) {
    const Delivery delivery = DeliveryOf(i * 7'919'777 % plan.records);
    const ScopedKey key("default", delivery.key);
    const auto start = Steady::now();
    Result<std::optional<Record>> found = store->Get(key, RecordParts::kReplay);
    micros.push_back(SecondsSince(start) * 1e6);
    if (!found.ok() || !*found || (*found)->response->body != delivery.response_body) Die("a read was wrong");
  }
  Print("store: Get uniform over all keys, median", Percentile(&micros, 0.5), "us");
  Print("store: Get uniform over all keys, p99", Percentile(&micros, 0.99), "us");
}

void Reclaim(const Plan& plan, Logger& logger) {
  const uint64_t peak = DirectoryBytes(plan.directory);
  const LaterClock clock(kTtlMsMax + kLoadSpanMs);
  const Usage before = UsageOf(getpid());
  const auto start = Steady::now();
  const std::unique_ptr<Store> store = Open(plan, clock, logger, plan.cleanup_ms);
  const auto goal = static_cast<uint64_t>(std::max(static_cast<double>(peak) * kLeftShareMax, kLeftBytesMin));
  while (DirectoryBytes(plan.directory) > goal && SecondsSince(start) < kReclaimSMax)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  Print("expired: until less than 2% of the disk is in use", SecondsSince(start), "s");
  const uint64_t left = BytesWhenSettled(plan.directory, plan.settle_s);
  const Usage after = UsageOf(getpid());
  const CleanupTotals totals = store->Cleanups();
  Print("expired: records removed", static_cast<double>(totals.removed_total), "");
  Print("expired: entries rewritten", static_cast<double>(totals.rewritten_total), "");
  Print("expired: runs of the reaper", static_cast<double>(totals.runs), "");
  Print("expired: CPU", after.cpu_s - before.cpu_s, "s");
  Print("expired: written to disk",
        static_cast<double>(after.disk_written_bytes - before.disk_written_bytes) / (1 << 20), "MiB");
  Print("expired: left on disk", static_cast<double>(left) / (1 << 20), "MiB");
  Print("expired: left on disk / peak", 100 * static_cast<double>(left) / static_cast<double>(peak), "%");
}

}  // namespace oncegate::scale

#include <benchmark/benchmark.h>

#include <string>

#include "http/body.h"
#include "http/head.h"
#include "http/writer.h"

namespace oncegate::http {
namespace {

// A webhook delivery as senders make them, about 300 bytes.
constexpr std::string_view kRequest =
    "POST /webhooks/orders HTTP/1.1\r\n"
    "Host: hooks.example.com\r\n"
    "User-Agent: Sender/1.0 (+https://sender.example/docs)\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 500\r\n"
    "Accept: */*\r\n"
    "X-Idempotency-Key: evt_3f1c9a7b2d8e4f60\r\n"
    "X-Signature: t=1700000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff\r\n"
    "Accept-Encoding: gzip\r\n\r\n";

void BM_RequestHead(benchmark::State& state) {
  for (auto _ : state) {
    HeadParser parser;
    RequestHead head;
    benchmark::DoNotOptimize(parser.ParseRequest(kRequest, &head));
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kRequest.size()));
}
BENCHMARK(BM_RequestHead);

void BM_RequestHeadAndKeyLookup(benchmark::State& state) {
  for (auto _ : state) {
    HeadParser parser;
    RequestHead head;
    benchmark::DoNotOptimize(parser.ParseRequest(kRequest, &head));
    benchmark::DoNotOptimize(head.fields.Find("X-Idempotency-Key"));
  }
}
BENCHMARK(BM_RequestHeadAndKeyLookup);

// 64 KiB of body in chunks of the given size.
void BM_ChunkedBody(benchmark::State& state) {
  constexpr size_t kBodyBytes = 64 * 1024;
  const std::string chunk(static_cast<size_t>(state.range(0)), 'x');
  std::string stream;
  for (size_t written = 0; written < kBodyBytes; written += chunk.size()) AppendChunk(chunk, &stream);
  AppendLastChunk(&stream);
  std::string body;
  for (auto _ : state) {
    body.clear();
    BodyReader reader(Framing::kChunked, 0);
    size_t used = 0;
    benchmark::DoNotOptimize(reader.Read(stream, &used, &body));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kBodyBytes));
}
BENCHMARK(BM_ChunkedBody)->Arg(256)->Arg(4096)->Arg(16384);

}  // namespace
}  // namespace oncegate::http

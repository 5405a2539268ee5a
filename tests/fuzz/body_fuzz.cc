// Chunked bodies. The first byte says in how large pieces the input comes.

#include <algorithm>
#include <string>
#include <string_view>

#include "http/body.h"
#include "http/writer.h"
#include "tests/fuzz/fuzzing.h"

namespace oncegate {
namespace {

using http::BodyReader;
using http::ParseState;

struct Read {
  ParseState state = ParseState::kNeedMore;
  std::string body;
  size_t used = 0;
};

Read ReadInPieces(std::string_view input, size_t piece) {
  BodyReader reader(http::Framing::kChunked, 0);
  Read read;
  size_t offered = 0;
  while (read.state == ParseState::kNeedMore && offered < input.size()) {
    offered = std::min(offered + piece, input.size());
    const std::string_view rest = input.substr(read.used, offered - read.used);
    size_t used = 0;
    read.state = reader.Read(rest, &used, &read.body);
    Require(used <= rest.size());
    read.used += used;
  }
  Require(reader.delivered() == read.body.size());
  Require(reader.done() == (read.state == ParseState::kDone));
  Require(!reader.FinishAtClose() || read.state == ParseState::kDone);
  return read;
}

void CheckChunks(std::string_view input, size_t piece) {
  const Read whole = ReadInPieces(input, input.size());
  const Read parts = ReadInPieces(input, piece);
  Require(whole.state == parts.state);
  if (whole.state == ParseState::kError) return;
  Require(whole.body == parts.body);
  Require(whole.body.size() <= input.size());
  if (whole.state != ParseState::kDone) return;
  Require(whole.used == parts.used);
  // What was read, written and read again is the same.
  std::string written;
  http::AppendChunk(whole.body, &written);
  http::AppendLastChunk(&written);
  const Read again = ReadInPieces(written, piece);
  Require(again.state == ParseState::kDone && again.body == whole.body && again.used == written.size());
}

}  // namespace
}  // namespace oncegate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  oncegate::CheckChunks(oncegate::InputText(data, size).substr(1), size_t{1} + data[0] % 64);
  return 0;
}

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/error.h"
#include "http/head.h"

namespace oncegate::http {

// Takes the bytes of one message's body out of a stream that may hold more than the body. Strict about chunks: sizes
// are 1 to 16 hexadecimal digits without sign or spaces, lines end with CRLF, extensions are skipped up to
// kChunkLineBytesMax and kExtensionBytesMax, trailer fields are vetted like fields of a head, bounded, and dropped. The
// verdict does not depend on how the bytes were split. Not thread-safe; one object a body.
class BodyReader {
 public:
  static constexpr size_t kChunkLineBytesMax = 4096;
  static constexpr size_t kExtensionBytesMax = 64 * 1024;  // of all chunks together
  static constexpr size_t kTrailerBytesMax = 16 * 1024;

  BodyReader() = default;  // no body: done at once
  BodyReader(Framing framing, uint64_t content_length);

  // Appends to `*out` what of `input` belongs to the body, decoded; `*used` says how much of `input` was eaten. Call
  // again with the rest and more when kNeedMore. kError: malformed (bad-request); the connection must be closed.
  ParseState Read(std::string_view input, size_t* used, std::string* out);

  // The stream ended. True if the body is whole by then (kUntilClose, or already done).
  [[nodiscard]] bool FinishAtClose();

  // Body bytes delivered so far, decoded.
  [[nodiscard]] uint64_t delivered() const { return delivered_; }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  enum class Step : uint8_t {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
  };

  size_t TakeData(std::string_view input, std::string* out);
  ParseState ReadChunked(std::string_view input, size_t* used, std::string* out);
  void TakeFraming(char c);
  void TakeSizeLine(char c);
  void TakeTrailer(char c);
  void Expect(char c, char wanted, Step next, std::string_view otherwise);
  void Fail(std::string_view detail);

  Framing framing_ = Framing::kNone;
  Step step_ = Step::kSize;
  bool done_ = true;
  bool failed_ = false;
  int digits_ = 0;     // of the chunk size, so far
  uint64_t left_ = 0;  // of the counted body, or of the current chunk
  uint64_t delivered_ = 0;
  size_t line_bytes_ = 0;       // of the current chunk-size line
  size_t extension_bytes_ = 0;  // of all chunks
  size_t trailer_bytes_ = 0;
  size_t trailer_fields_ = 0;
  Error error_;
};

}  // namespace oncegate::http

#include "http/body.h"

#include <algorithm>
#include <utility>

#include "http/chars.h"

namespace oncegate::http {
namespace {

constexpr int kSizeDigitsMax = 16;

}  // namespace

BodyReader::BodyReader(Framing framing, uint64_t content_length) : framing_(framing) {
  switch (framing) {
    case Framing::kNone:
      done_ = true;
      break;
    case Framing::kContentLength:
      left_ = content_length;
      done_ = content_length == 0;
      break;
    case Framing::kChunked:
    case Framing::kUntilClose:
      done_ = false;
      break;
  }
}

ParseState BodyReader::Read(std::string_view input, size_t* used, std::string* out) {
  *used = 0;
  if (failed_) return ParseState::kError;
  if (done_) return ParseState::kDone;
  switch (framing_) {
    case Framing::kNone:
      return ParseState::kDone;
    case Framing::kUntilClose:
      out->append(input);
      delivered_ += input.size();
      *used = input.size();
      return ParseState::kNeedMore;
    case Framing::kContentLength:
      *used = TakeData(input, out);
      done_ = left_ == 0;
      break;
    case Framing::kChunked:
      return ReadChunked(input, used, out);
  }
  return done_ ? ParseState::kDone : ParseState::kNeedMore;
}

bool BodyReader::FinishAtClose() {
  if (framing_ == Framing::kUntilClose) done_ = true;
  return done_ && !failed_;
}

size_t BodyReader::TakeData(std::string_view input, std::string* out) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(left_, input.size()));
  out->append(input.substr(0, taken));
  left_ -= taken;
  delivered_ += taken;
  return taken;
}

ParseState BodyReader::ReadChunked(std::string_view input, size_t* used, std::string* out) {
  size_t at = 0;
  while (at < input.size() && !done_ && !failed_) {
    if (step_ == Step::kData) {
      at += TakeData(input.substr(at), out);
      if (left_ == 0) step_ = Step::kDataCr;
    } else {
      TakeFraming(input[at]);
      ++at;
    }
  }
  *used = at;
  if (failed_) return ParseState::kError;
  return done_ ? ParseState::kDone : ParseState::kNeedMore;
}

// The bytes around the data go one by one through a small machine, so that no split can change what they mean.
void BodyReader::TakeFraming(char c) {
  switch (step_) {
    case Step::kSize:
    case Step::kExtension:
    case Step::kSizeLf:
      return TakeSizeLine(c);
    case Step::kData:
      return;
    case Step::kDataCr:
      return Expect(c, '\r', Step::kDataLf, "chunk data is longer than its size says");
    case Step::kDataLf:
      line_bytes_ = 0;
      return Expect(c, '\n', Step::kSize, "chunk data is not followed by CRLF");
    case Step::kTrailerStart:
    case Step::kTrailerName:
    case Step::kTrailerValue:
    case Step::kTrailerLf:
    case Step::kEndLf:
      return TakeTrailer(c);
  }
}

void BodyReader::TakeSizeLine(char c) {
  if (++line_bytes_ > kChunkLineBytesMax) return Fail("a chunk size line is too long");
  if (step_ == Step::kSizeLf) {
    line_bytes_ = 0;
    digits_ = 0;
    Expect(c, '\n', left_ == 0 ? Step::kTrailerStart : Step::kData, "bare CR in a chunk size line");
    return;
  }
  if (step_ == Step::kSize) {
    const int value = HexValue(c);
    if (value >= 0) {
      if (++digits_ > kSizeDigitsMax) return Fail("a chunk size has too many digits");
      left_ = left_ * 16 + static_cast<uint64_t>(value);
      return;
    }
    if (digits_ == 0 || (c != ';' && c != '\r')) return Fail("a chunk size is not a hexadecimal number");
  }
  if (c == '\r') {
    step_ = Step::kSizeLf;
  } else if (HasClass(c, kControlChar)) {
    Fail("a chunk extension holds a control character");
  } else {
    step_ = Step::kExtension;
    if (++extension_bytes_ > kExtensionBytesMax) Fail("there is too much in chunk extensions");
  }
}

void BodyReader::TakeTrailer(char c) {
  if (++trailer_bytes_ > kTrailerBytesMax) return Fail("the trailer section is too long");
  switch (step_) {
    case Step::kTrailerStart:
      if (c == '\r') {
        step_ = Step::kEndLf;
      } else if (!HasClass(c, kTokenChar)) {
        Fail("a trailer field has no proper name");
      } else if (++trailer_fields_ > kFieldsMax) {
        Fail("there are too many trailer fields");
      } else {
        step_ = Step::kTrailerName;
      }
      return;
    case Step::kTrailerName:
      if (c == ':') {
        step_ = Step::kTrailerValue;
      } else if (!HasClass(c, kTokenChar)) {
        Fail("a trailer field has no proper name");
      }
      return;
    case Step::kTrailerValue:
      if (c == '\r') {
        step_ = Step::kTrailerLf;
      } else if (HasClass(c, kControlChar)) {
        Fail("a trailer field holds a control character");
      }
      return;
    case Step::kTrailerLf:
      return Expect(c, '\n', Step::kTrailerStart, "bare CR in a trailer field");
    case Step::kEndLf:
      Expect(c, '\n', Step::kTrailerStart, "bare CR after the last chunk");
      done_ = !failed_;
      return;
    case Step::kSize:
    case Step::kExtension:
    case Step::kSizeLf:
    case Step::kData:
    case Step::kDataCr:
    case Step::kDataLf:
      return;
  }
}

void BodyReader::Expect(char c, char wanted, Step next, std::string_view otherwise) {
  if (c != wanted) return Fail(otherwise);
  step_ = next;
}

void BodyReader::Fail(std::string_view detail) {
  failed_ = true;
  error_.code = ErrorCode::kBadRequest;
  error_.detail = std::string(detail);
}

}  // namespace oncegate::http

#include "http/head.h"

#include <cstring>
#include <utility>

#include "http/chars.h"
#include "http/writer.h"

namespace oncegate::http {
namespace {

// Enough for what senders and applications commonly set; more fields cost one more allocation.
constexpr size_t kFieldsUsual = 24;
// 19 digits always fit into 64 bits; the value is also held to what a signed number can say.
constexpr size_t kLengthDigitsMax = 19;
constexpr uint64_t kLengthMax = INT64_MAX;

// Where the first control character of `text` (other than HTAB) at or after `from` is, or its size. Eight bytes are
// looked at together: nearly all of a head is free of control characters.
size_t FindControl(std::string_view text, size_t from) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  while (from + 8 <= text.size()) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + from, 8);
    const uint64_t below_space = (word - kOnes * 0x20) & ~word;
    const uint64_t without_del = word ^ (kOnes * 0x7f);
    const uint64_t is_del = (without_del - kOnes) & ~without_del;
    if (((below_space | is_del) & kHighs) != 0) {
      for (const size_t end = from + 8; from < end; ++from) {
        if (HasClass(text[from], kControlChar)) return from;
      }
    } else {
      from += 8;
    }
  }
  while (from < text.size() && !HasClass(text[from], kControlChar)) ++from;
  return from;
}

}  // namespace

const HeadParser::Rules HeadParser::kRequestRules = {
    .request = true,
    .bytes_max = kHeadBytesMax,
    .fields_max = kFieldsMax,
    .malformed = ErrorCode::kBadRequest,
    .too_large = ErrorCode::kHeadTooLarge,
};

const HeadParser::Rules HeadParser::kResponseRules = {
    .request = false,
    .bytes_max = kResponseHeadBytesMax,
    .fields_max = kResponseFieldsMax,
    .malformed = ErrorCode::kUpstreamBroken,
    .too_large = ErrorCode::kUpstreamBroken,
};

ParseState HeadParser::ParseRequest(std::string_view input, RequestHead* head) {
  rules_ = &kRequestRules;
  const ParseState state = ReadLines(input);
  if (state != ParseState::kDone) return state;
  if (!CheckHost(input)) return ParseState::kError;

  head->method.assign(input, method_.at, method_.size);
  head->target.assign(input, target_.at, target_.size);
  if (absolute_ && !head->target.starts_with('/')) head->target.insert(0, 1, '/');
  head->version = version_;
  MoveFields(input, &head->fields);
  head->framing = Framing::kNone;
  if (chunked_) {
    head->framing = Framing::kChunked;
  } else if (content_length_ > 0) {
    head->framing = Framing::kContentLength;
  }
  head->content_length = content_length_;
  head->keep_alive = Persists();
  // A client without a body has nothing to wait for.
  head->expect_continue = expects_continue_ && head->framing != Framing::kNone;
  return ParseState::kDone;
}

ParseState HeadParser::ParseResponse(std::string_view input, std::string_view request_method, ResponseHead* head) {
  rules_ = &kResponseRules;
  const ParseState state = ReadLines(input);
  if (state != ParseState::kDone) return state;

  head->status = status_;
  head->reason.assign(input, reason_.at, reason_.size);
  head->version = version_;
  MoveFields(input, &head->fields);
  head->content_length = content_length_;
  head->keep_alive = Persists();
  const bool bodiless_status = StatusHasNoBody(status_);
  if (request_method == "HEAD" || bodiless_status) {
    head->framing = Framing::kNone;
    // Such a status must not announce a body (RFC 9112 section 6.1). If one comes all the same, nobody shall take it
    // for the next answer.
    if (bodiless_status && status_ != 304 && (chunked_ || content_length_ > 0)) head->keep_alive = false;
  } else if (chunked_) {
    head->framing = Framing::kChunked;
  } else if (has_length_) {
    head->framing = content_length_ > 0 ? Framing::kContentLength : Framing::kNone;
  } else {
    head->framing = Framing::kUntilClose;
    head->keep_alive = false;
  }
  return ParseState::kDone;
}

// Eats lines until the empty one. `consumed_` is set when it has come.
ParseState HeadParser::ReadLines(std::string_view input) {
  if (failed_) return ParseState::kError;
  if (consumed_ > 0) return ParseState::kDone;
  base_ = input.data();
  const std::string_view window = input.substr(0, rules_->bytes_max);
  while (true) {
    std::string_view line;
    const ParseState state = NextLine(window, &line);
    if (state != ParseState::kDone) return state;
    if (!start_line_read_) {
      if (line.empty() && rules_->request && !skipped_empty_line_) {
        // Some old clients send CRLF after a body (RFC 9112 section 2.2).
        skipped_empty_line_ = true;
        continue;
      }
      if (!(rules_->request ? TakeRequestLine(line) : TakeStatusLine(line))) return ParseState::kError;
      start_line_read_ = true;
      fields_start_ = line_start_;
    } else if (line.empty()) {
      consumed_ = line_start_;
      return ParseState::kDone;
    } else if (!TakeField(line)) {
      return ParseState::kError;
    }
  }
}

// The next line without its CRLF. All of its bytes are vetted, those of an unfinished line too.
ParseState HeadParser::NextLine(std::string_view window, std::string_view* line) {
  if (scanned_ == line_start_ && scanned_ < window.size() && !CheckLineStart(window[scanned_])) {
    return ParseState::kError;
  }
  scanned_ = FindControl(window, scanned_);
  if (scanned_ == window.size()) return MoreOrTooLarge(window);
  if (window[scanned_] == '\n') {
    Fail("a line of the head ends with a bare LF");
    return ParseState::kError;
  }
  if (window[scanned_] != '\r') {
    Fail("the head holds a control character");
    return ParseState::kError;
  }
  if (scanned_ + 1 == window.size()) return MoreOrTooLarge(window);
  if (window[scanned_ + 1] != '\n') {
    Fail("the head holds a bare CR");
    return ParseState::kError;
  }
  *line = window.substr(line_start_, scanned_ - line_start_);
  scanned_ += 2;
  line_start_ = scanned_;
  return ParseState::kDone;
}

bool HeadParser::CheckLineStart(char first) {
  if (!start_line_read_ || first == '\r') return true;
  if (first == ' ' || first == '\t') return Fail("a header field is folded over two lines");
  if (spans_.size() == rules_->fields_max) return FailTooLarge("the head has too many fields");
  return true;
}

ParseState HeadParser::MoreOrTooLarge(std::string_view window) {
  if (window.size() < rules_->bytes_max) return ParseState::kNeedMore;
  FailTooLarge("the head is too long");
  return ParseState::kError;
}

bool HeadParser::TakeRequestLine(std::string_view line) {
  const size_t method_size = SpanOf(line, kTokenChar);
  if (method_size == 0 || method_size == line.size() || line[method_size] != ' ') {
    return Fail("the request line does not begin with a method and a space");
  }
  method_ = PartOf(line.substr(0, method_size));
  line.remove_prefix(method_size + 1);
  const size_t target_size = SpanOf(line, kTargetChar);
  if (target_size == 0 || target_size == line.size() || line[target_size] != ' ') {
    return Fail("the request target is missing or holds a character that must be encoded");
  }
  return TakeTarget(line.substr(0, target_size)) && TakeVersion(line.substr(target_size + 1));
}

bool HeadParser::TakeTarget(std::string_view target) {
  const std::string_view method(base_ + method_.at, method_.size);
  if (method == "CONNECT") return Fail("CONNECT is not supported");
  target_ = PartOf(target);
  if (target.front() == '/') return true;
  if (target == "*") return method == "OPTIONS" || Fail("the target * belongs to OPTIONS");
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!EqualsIgnoreCase(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const std::string_view authority = target.substr(0, target.find_first_of("/?"));
    absolute_ = true;
    authority_ = PartOf(authority);
    target_ = PartOf(target.substr(authority.size()));
    return true;
  }
  return Fail("the request target is neither a path nor an http URL");
}

bool HeadParser::TakeStatusLine(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return Fail("the status line has no status");
  if (!TakeVersion(line.substr(0, space))) return false;
  line.remove_prefix(space + 1);
  if (SpanOf(line.substr(0, 4), kDigitChar) != 3 || line[0] < '1' || line[0] > '5') {
    return Fail("the status is not a number from 100 to 599");
  }
  status_ = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  line.remove_prefix(3);
  if (line.empty()) return true;
  if (line[0] != ' ') return Fail("the status is not followed by a space");
  reason_ = PartOf(line.substr(1));
  return true;
}

bool HeadParser::TakeVersion(std::string_view text) {
  if (text == "HTTP/1.1") {
    version_ = Version::kHttp11;
  } else if (text == "HTTP/1.0") {
    version_ = Version::kHttp10;
  } else {
    return Fail("the protocol is not HTTP/1.1 or HTTP/1.0");
  }
  return true;
}

bool HeadParser::TakeField(std::string_view line) {
  const size_t name_size = SpanOf(line, kTokenChar);
  if (name_size == 0 || name_size == line.size() || line[name_size] != ':') {
    return Fail("a header field does not begin with a name and a colon");
  }
  const std::string_view name = line.substr(0, name_size);
  const std::string_view value = TrimSpaces(line.substr(name_size + 1));
  if (spans_.empty()) spans_.reserve(kFieldsUsual);
  const Part name_part = PartOf(name);
  const Part value_part = PartOf(value);
  const auto start = static_cast<uint32_t>(fields_start_);
  spans_.push_back({name_part.at - start, name_part.size, value_part.at - start, value_part.size});
  return NoteField(name, value);
}

// Remembers what the fields say about the connection and the body. The sizes of the names tell most fields apart.
bool HeadParser::NoteField(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (rules_->request && EqualsIgnoreCase(name, "Host")) return NoteHost(value);
      return true;
    case 6:
      if (rules_->request && EqualsIgnoreCase(name, "Expect")) return NoteExpect(value);
      return true;
    case 10:
      if (EqualsIgnoreCase(name, "Connection")) NoteConnection(value);
      return true;
    case 14:
      if (EqualsIgnoreCase(name, "Content-Length")) return NoteContentLength(value);
      return true;
    case 17:
      if (EqualsIgnoreCase(name, "Transfer-Encoding")) return NoteTransferEncoding(value);
      return true;
    default:
      return true;
  }
}

bool HeadParser::NoteHost(std::string_view value) {
  if (has_host_) return Fail("Host is repeated");
  // An http URL without a host is invalid (RFC 9110 section 4.2.1).
  if (value.empty() || SpanOf(value, kHostChar) != value.size()) return Fail("Host is malformed");
  has_host_ = true;
  host_ = PartOf(value);
  return true;
}

bool HeadParser::NoteContentLength(std::string_view value) {
  // The same length twice is refused too: who counts on one of them is not known.
  if (has_length_) return Fail("Content-Length is repeated");
  if (chunked_) return Fail("Transfer-Encoding and Content-Length exclude each other");
  if (value.empty() || value.size() > kLengthDigitsMax || SpanOf(value, kDigitChar) != value.size()) {
    return Fail("Content-Length is not a number");
  }
  for (const char c : value) content_length_ = content_length_ * 10 + static_cast<uint64_t>(c - '0');
  if (content_length_ > kLengthMax) return Fail("Content-Length is too large");
  has_length_ = true;
  return true;
}

bool HeadParser::NoteTransferEncoding(std::string_view value) {
  if (chunked_) return Fail("Transfer-Encoding is repeated");
  if (has_length_) return Fail("Transfer-Encoding and Content-Length exclude each other");
  if (version_ == Version::kHttp10) return Fail("HTTP/1.0 has no Transfer-Encoding");
  if (!EqualsIgnoreCase(value, "chunked")) return Fail("the only Transfer-Encoding understood is chunked");
  chunked_ = true;
  return true;
}

bool HeadParser::NoteExpect(std::string_view value) {
  if (version_ == Version::kHttp10) return true;  // RFC 9110 section 10.1.1
  if (!EqualsIgnoreCase(value, "100-continue")) return Fail("the only Expect understood is 100-continue");
  expects_continue_ = true;
  return true;
}

void HeadParser::NoteConnection(std::string_view value) {
  says_close_ = says_close_ || ListHasToken(value, "close");
  says_keep_alive_ = says_keep_alive_ || ListHasToken(value, "keep-alive");
}

bool HeadParser::CheckHost(std::string_view input) {
  if (version_ == Version::kHttp11 && !has_host_) return Fail("Host is missing");
  if (absolute_ && (!has_host_ || !EqualsIgnoreCase(input.substr(authority_.at, authority_.size),
                                                    input.substr(host_.at, host_.size)))) {
    return Fail("the request target and Host disagree");
  }
  return true;
}

void HeadParser::MoveFields(std::string_view input, Fields* fields) {
  const std::string_view bytes = input.substr(fields_start_, consumed_ - fields_start_);
  fields->bytes_.assign(bytes.begin(), bytes.end());
  fields->spans_.swap(spans_);  // what was in it has memory for the next message
}

void HeadParser::Restart() {
  std::vector<Fields::Span> spans = std::move(spans_);
  spans.clear();
  *this = HeadParser();
  spans_ = std::move(spans);
}

bool HeadParser::Persists() const {
  if (says_close_) return false;
  return version_ == Version::kHttp11 || says_keep_alive_;
}

HeadParser::Part HeadParser::PartOf(std::string_view text) const {
  return {static_cast<uint32_t>(text.data() - base_), static_cast<uint32_t>(text.size())};
}

bool HeadParser::Fail(std::string_view detail) {
  failed_ = true;
  error_.code = rules_->malformed;
  error_.detail = std::string(detail);
  return false;
}

bool HeadParser::FailTooLarge(std::string_view detail) {
  Fail(detail);
  error_.code = rules_->too_large;
  return false;
}

}  // namespace oncegate::http

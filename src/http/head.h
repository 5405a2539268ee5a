#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/error.h"

namespace oncegate::http {

inline constexpr size_t kHeadBytesMax = 16 * 1024;
inline constexpr size_t kFieldsMax = 100;
// Applications may set more cookies and links than senders send headers.
inline constexpr size_t kResponseHeadBytesMax = 64 * 1024;
inline constexpr size_t kResponseFieldsMax = 500;

enum class Version : uint8_t { kHttp10, kHttp11 };

struct Field {
  std::string_view name;   // as received
  std::string_view value;  // as received, less surrounding spaces and tabs
};

// Whether two field names, or two tokens, are the same (ASCII case does not matter).
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// How the end of a message's body is known.
enum class Framing : uint8_t {
  kNone,           // no body
  kContentLength,  // content_length() bytes
  kChunked,
  kUntilClose,  // responses only
};

// The field section of a message, owned: views it hands out stay valid as long as it lives, also after a move.
class Fields {
 public:
  [[nodiscard]] size_t size() const { return spans_.size(); }
  [[nodiscard]] Field operator[](size_t i) const;
  // The value of the first field of that name, and how many there are.
  [[nodiscard]] std::optional<std::string_view> Find(std::string_view name) const;
  [[nodiscard]] size_t Count(std::string_view name) const;
  // Whether a field of that comma-separated list type has the token, in any of its lines ("Connection", "close").
  [[nodiscard]] bool HasToken(std::string_view name, std::string_view token) const;

 private:
  friend class HeadParser;
  struct Span {
    uint32_t name;
    uint32_t name_size;
    uint32_t value;
    uint32_t value_size;
  };
  // Not a string: the bytes of a short one would move with the object, and the views would not.
  std::vector<char> bytes_;
  std::vector<Span> spans_;
};

struct RequestHead {
  std::string method;
  // Path and query as received (an absolute target less scheme and authority; "*" for OPTIONS).
  std::string target;
  Version version = Version::kHttp11;
  Fields fields;
  Framing framing = Framing::kNone;  // kNone (also with Content-Length: 0), kContentLength or kChunked
  uint64_t content_length = 0;
  bool keep_alive = true;        // the client will read another answer on this connection
  bool expect_continue = false;  // the client waits for 100 before it sends the body; false where there is none

  [[nodiscard]] std::string_view path() const;  // target up to '?'
};

struct ResponseHead {
  int status = 0;
  std::string reason;
  Version version = Version::kHttp11;
  Fields fields;
  Framing framing = Framing::kNone;
  uint64_t content_length = 0;
  bool keep_alive = true;  // the connection can carry another request once the body is read
};

enum class ParseState : uint8_t { kNeedMore, kDone, kError };

// Reads the head of one message from a growing buffer, by the strict rules of the contract (section 7; RFC 9112 with
// every leniency that has led to request smuggling left out). Bytes are vetted as they come: a head that is already
// wrong is refused before its end, and the verdict does not depend on how the bytes were split. Not thread-safe; one
// object a message.
class HeadParser {
 public:
  // `input` is everything received of this message so far, and begins with the same bytes at every call. On kDone
  // `consumed()` bytes of it were the head. On kError `error()` says why; the connection must be closed.
  // A refused request carries bad-request or head-too-large. A refused response carries upstream-broken.
  ParseState ParseRequest(std::string_view input, RequestHead* head);
  // `request_method` is needed to know whether a body follows (HEAD). Interim (1xx) heads are returned like others,
  // with framing kNone.
  ParseState ParseResponse(std::string_view input, std::string_view request_method, ResponseHead* head);

  // Forgets everything but its memory, for another message.
  void Restart();

  [[nodiscard]] size_t consumed() const { return consumed_; }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  // What differs between requests and responses while lines are read.
  struct Rules {
    bool request;
    size_t bytes_max;
    size_t fields_max;
    ErrorCode malformed;
    ErrorCode too_large;
  };
  static const Rules kRequestRules;
  static const Rules kResponseRules;
  // A part of the input. Offsets stay right when the caller's buffer moves between two calls.
  struct Part {
    uint32_t at = 0;
    uint32_t size = 0;
  };

  ParseState ReadLines(std::string_view input);
  ParseState NextLine(std::string_view input, std::string_view* line);
  [[nodiscard]] bool CheckLineStart(char first);
  ParseState MoreOrTooLarge(std::string_view input);
  [[nodiscard]] bool TakeRequestLine(std::string_view line);
  [[nodiscard]] bool TakeTarget(std::string_view target);
  [[nodiscard]] bool TakeStatusLine(std::string_view line);
  [[nodiscard]] bool TakeVersion(std::string_view text);
  [[nodiscard]] bool TakeField(std::string_view line);
  [[nodiscard]] bool NoteField(std::string_view name, std::string_view value);
  [[nodiscard]] bool NoteHost(std::string_view value);
  [[nodiscard]] bool NoteContentLength(std::string_view value);
  [[nodiscard]] bool NoteTransferEncoding(std::string_view value);
  [[nodiscard]] bool NoteExpect(std::string_view value);
  void NoteConnection(std::string_view value);
  [[nodiscard]] bool CheckHost(std::string_view input);
  void MoveFields(std::string_view input, Fields* fields);
  [[nodiscard]] bool Persists() const;
  [[nodiscard]] Part PartOf(std::string_view text) const;
  bool Fail(std::string_view detail);
  bool FailTooLarge(std::string_view detail);

  const Rules* rules_ = nullptr;
  const char* base_ = nullptr;  // where the input of the current call begins
  size_t scanned_ = 0;          // bytes of the input that were vetted
  size_t line_start_ = 0;
  size_t fields_start_ = 0;
  bool skipped_empty_line_ = false;
  bool start_line_read_ = false;
  bool failed_ = false;

  Part method_;
  Part target_;
  Part authority_;  // of an absolute target, otherwise empty
  bool absolute_ = false;
  int status_ = 0;
  Part reason_;
  Version version_ = Version::kHttp11;
  std::vector<Fields::Span> spans_;
  Part host_;
  bool has_host_ = false;
  bool has_length_ = false;
  bool chunked_ = false;
  bool expects_continue_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
  uint64_t content_length_ = 0;

  size_t consumed_ = 0;
  Error error_;
};

// Fields that concern one connection only (RFC 9110 section 7.6.1) and are not passed on: Connection and what it names,
// Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade. Host
// and Content-Length never are, even if Connection names them.
bool IsHopByHop(std::string_view name, const Fields& fields);

}  // namespace oncegate::http

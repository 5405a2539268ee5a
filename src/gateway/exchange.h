#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_budget.h"
#include "http/head.h"

namespace oncegate {

// A whole, vetted request as the ingress hands it over.
struct InboundRequest {
  http::RequestHead head;
  std::string body;
  std::string client_ip;
  bool tls = false;        // how the client came, as far as is known
  int64_t arrived_ms = 0;  // steady clock, when its last byte came
  BudgetShare memory;      // what its bytes take of --max-buffered
  // The trusted proxy that brought it, whose X-Forwarded-For is passed on. Empty: the client itself did.
  std::string proxy_ip;
};

// A whole, vetted request that its reader still holds.
struct RequestView {
  const http::RequestHead& head;
  std::string_view body;
  std::string_view client_ip;
};

// An answer, or the beginning of one.
struct Reply {
  int status = 0;
  // Status line and field lines, each ended by CRLF, without the empty line and without the fields that concern the
  // connection (Connection, Transfer-Encoding): the channel adds those.
  std::string head;
  std::string body;
};

// Where the answer to one request goes: once Send, or once Begin, any number of Write, and Finish. Destroying a channel
// whose answer is not complete closes the client's connection. Methods may be called from any thread, one at a time.
class ReplyChannel {
 public:
  // Who sets the pace of an answer in pieces.
  enum class Pace : uint8_t {
    // The client: a Write waits while it has kStreamBytesMax unread. All waits together last kStreamStallMsMax, and
    // longer only for a client that takes at least kStreamBytesPerMsMin: a worker waits with it.
    kClient,
    // The application: its answer is read as it comes, because the outcome depends on it. A client may be
    // kUnpacedBytesMax behind; then a Write waits, kUnpacedStallMsMax for all of them together.
    kApplication,
  };
  static constexpr size_t kStreamBytesMax = 512 * 1024;
  static constexpr int64_t kStreamStallMsMax = 30'000;
  static constexpr uint64_t kStreamBytesPerMsMin = 16;
  static constexpr size_t kUnpacedBytesMax = 32 << 20;
  static constexpr int64_t kUnpacedStallMsMax = 2'000;

  virtual ~ReplyChannel() = default;

  // The whole answer. `reply.head` says the length of the body, unless it can have none.
  virtual void Send(Reply reply) = 0;

  // An answer that comes in pieces. `length_known`: the head says the length; otherwise the channel frames the body
  // (chunked, or for HTTP/1.0 by closing). `reply.body` is the first piece.
  virtual void Begin(Reply reply, bool length_known) = 0;
  // False: the client is gone or too slow for this pace, or memory is short; the caller writes no more, and ends the
  // channel without Finish.
  virtual bool Write(std::string_view data, Pace pace) = 0;
  virtual void Finish() = 0;

  // Whether nobody will read the answer. A client that closed its sending side counts as gone.
  [[nodiscard]] virtual bool ClientGone() const = 0;
};

}  // namespace oncegate

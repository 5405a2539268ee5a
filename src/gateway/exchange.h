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
  bool tls = false;
  int64_t arrived_ms = 0;  // steady clock, when its last byte came
  BudgetShare memory;      // what its bytes take of --max-buffered
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
  virtual ~ReplyChannel() = default;

  // The whole answer. `reply.head` says the length of the body, unless it can have none.
  virtual void Send(Reply reply) = 0;

  // An answer that comes in pieces. `length_known`: the head says the length; otherwise the channel frames the body
  // (chunked, or for HTTP/1.0 by closing). `reply.body` is the first piece.
  virtual void Begin(Reply reply, bool length_known) = 0;
  // Waits while the client has kStreamBytesMax unread, for kStreamStallMsMax at most. False: the client is gone or too
  // slow; what is written from now on is dropped.
  virtual bool Write(std::string_view data) = 0;
  virtual void Finish() = 0;

  // Whether nobody will read the answer. A client that closed its sending side counts as gone.
  [[nodiscard]] virtual bool ClientGone() const = 0;

  static constexpr size_t kStreamBytesMax = 512 * 1024;
  static constexpr int64_t kStreamStallMsMax = 30'000;
};

}  // namespace oncegate

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/head.h"

namespace oncegate {

// A request as it goes on the wire.
struct OutboundRequest {
  std::string method;
  // Request line, field lines and the empty line.
  std::string head;
  std::string_view body;
  // Until the last byte of the answer, from the call; 0: no such limit.
  int64_t total_timeout_ms = 0;
  // Between two reads (and for each write).
  int64_t idle_timeout_ms = 0;
  // How long connecting is tried again, from the call; 0: once.
  int64_t connect_retry_ms = 0;
};

// How a forwarded request ended.
enum class ForwardEnd : uint8_t {
  kAnswered,  // a whole response was delivered
  kNotSent,   // no connection, or not one byte was accepted by the kernel: the application cannot have seen it
  kTimedOut,  // bytes were sent, and no whole response came in time
  kBroken,    // bytes were sent, and the connection was lost or the response is not HTTP
  kStopped,   // the receiver wanted no more of the response
};

struct ForwardResult {
  ForwardEnd end = ForwardEnd::kNotSent;
  std::string detail;  // one sentence for the log and the error's detail; empty when answered
};

// Gets the response while it comes. Called by the thread that forwards.
class ResponseReceiver {
 public:
  virtual ~ResponseReceiver() = default;
  // The final head (interim ones are skipped; 101 is kBroken). False stops the forwarding.
  virtual bool OnHead(http::ResponseHead head) = 0;
  // The next bytes of the body, decoded from chunks, never empty. False stops the forwarding.
  virtual bool OnBody(std::string_view data) = 0;
};

// The application behind oncegate. Thread-safe; calls block their thread.
class Upstream {
 public:
  virtual ~Upstream() = default;

  // Sends the request at most once: bytes that the kernel accepted count as sent, and a sent request is never sent
  // again. Connecting is tried again for connect_retry_ms, while nothing was sent and not too many do so.
  virtual ForwardResult Forward(const OutboundRequest& request, ResponseReceiver& receiver) = 0;

  // Whether a connection can be made within `timeout_ms`; Unavailable says why not.
  virtual Status Probe(int64_t timeout_ms) = 0;

  // Ends every Forward that is under way (as kBroken, or kNotSent) and all later ones: the process is going down.
  virtual void Abort() = 0;
};

}  // namespace oncegate

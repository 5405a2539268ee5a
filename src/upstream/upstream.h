#pragma once

#include <cstdint>
#include <memory>
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

// Gets the response while it comes, on the thread that forwards.
class ResponseReceiver {
 public:
  virtual ~ResponseReceiver() = default;
  // The final head (interim ones are skipped; 101 is kBroken). False stops the forwarding.
  virtual bool OnHead(http::ResponseHead head) = 0;
  // The next bytes of the body, decoded from chunks, never empty. False stops the forwarding.
  virtual bool OnBody(std::string_view data) = 0;
  // Whether OnBody may wait, say for a client that reads slowly. Asked after each call.
  [[nodiscard]] virtual bool MayWait() const = 0;
};

// What is left to do of a request that Start took over.
class ForwardRest {
 public:
  virtual ~ForwardRest() = default;
  // As Forward, from where it stands. Once.
  virtual ForwardResult Run() = 0;
};

// Is told, once, what came of a request that Start took over. The calls must not wait, may come on any thread, and even
// before Start returns.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // It is over. With kNotSent the receiver was given nothing, and Forward may be tried.
  virtual void OnForwarded(std::unique_ptr<ForwardObserver> self, ForwardResult result) = 0;
  // From here on it takes a thread that may wait. Dropping `rest` breaks the request off.
  virtual void OnMayWait(std::unique_ptr<ForwardObserver> self, std::unique_ptr<ForwardRest> rest) = 0;
};

// The application behind oncegate. Thread-safe.
class Upstream {
 public:
  virtual ~Upstream() = default;

  // Sends the request at most once: bytes that the kernel accepted count as sent, and a sent request is never sent
  // again. Connecting is tried again for connect_retry_ms, while nothing was sent and not too many do so. Blocks its
  // thread until the end.
  virtual ForwardResult Forward(const OutboundRequest& request, ResponseReceiver& receiver) = 0;

  // The same without a thread: sends, and returns before the answer comes. False, with `observer` as it was and nothing
  // sent, where that takes a wait (there is no connection yet) or cannot be done at all. Otherwise `observer` was moved
  // from; `request` and `receiver` stay where they are until it is told.
  virtual bool Start(const OutboundRequest& /*request*/, ResponseReceiver& /*receiver*/,
                     std::unique_ptr<ForwardObserver>& /*observer*/) {
    return false;
  }

  // Whether a connection can be made within `timeout_ms`; Unavailable says why not.
  virtual Status Probe(int64_t timeout_ms) = 0;

  // Ends every request that is under way (as kBroken, or kNotSent) and all later ones: the process is going down. When
  // it returns no observer is being told anything, nor will be.
  virtual void Abort() = 0;
};

}  // namespace oncegate

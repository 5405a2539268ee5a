#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "http/body.h"
#include "http/head.h"
#include "upstream/socket.h"
#include "upstream/transport.h"
#include "upstream/upstream.h"

namespace oncegate::upstream {

// One request and its answer over one connection. Writes and reads at the same time, because an application may answer
// before it has read the request, or while it does. Either Run() does it all, or Begin, then Continue whenever one of
// events() comes, until one of them is false; Run() may also take over from there. Not thread-safe; one object an
// exchange.
class Exchange {
 public:
  static constexpr size_t kReadBytes = 64 * 1024;
  // More interim answers than any application has reason to send.
  static constexpr int kInterimHeadsMax = 32;

  Exchange(Transport& transport, const OutboundRequest& request, ResponseReceiver& receiver, const Waiter& waiter);

  // To the end, waiting.
  void Run();

  // Without waiting: writes what the socket takes. False: it is over, and TakeResult says how.
  [[nodiscard]] bool Begin() { return WriteOn(); }
  // Reads once, through `buffer` of kReadBytes, and writes on. False: it is over.
  [[nodiscard]] bool Continue(std::span<char> buffer) { return ReadOn(buffer) && WriteOn(); }
  // What Continue waits for: POLLIN, POLLOUT. Nothing if there are bytes at hand.
  [[nodiscard]] int events() const { return transport_.HasBuffered() ? 0 : read_events_ | write_events_; }
  // Ends it. REQUIRES: `why` is not kReady.
  void GiveUp(WaitEnd why);
  // How it ended; kNotSent: the kernel has taken nothing of the request. REQUIRES: it is over. Once.
  ForwardResult TakeResult() { return std::move(result_); }

  // Whether the connection can carry another request: the answer is whole, nothing follows it, and both sides agree.
  [[nodiscard]] bool reusable() const { return reusable_; }

 private:
  enum class Phase : uint8_t { kHead, kBody, kWhole };

  // Each returns false when the exchange has ended; `result_` says how.
  [[nodiscard]] bool WriteOn();
  [[nodiscard]] bool WaitOn();
  [[nodiscard]] bool ReadOn(std::span<char> buffer);
  [[nodiscard]] bool TakeBytes(std::string_view data);
  [[nodiscard]] bool TakeHead(std::string_view* rest);
  [[nodiscard]] bool TakeFinalHead(http::ResponseHead head);
  [[nodiscard]] bool TakeBody(std::string_view* rest);
  [[nodiscard]] bool TakeEnd(std::string_view reason);
  void TakeWhole(bool bytes_follow);

  bool End(ForwardEnd end, std::string detail);
  // Ends as `sent` if the kernel took bytes of the request, otherwise as kNotSent.
  bool EndUnanswered(ForwardEnd sent, std::string detail);
  [[nodiscard]] bool AnythingSent() const { return transport_.accepted() != accepted_before_; }

  Transport& transport_;
  const OutboundRequest& request_;
  ResponseReceiver& receiver_;
  const Waiter& waiter_;
  const uint64_t accepted_before_;

  size_t written_ = 0;   // of head and body
  bool writing_ = true;  // there is more to write, and the peer still takes it
  bool write_failed_ = false;
  int write_events_ = 0;  // what the next write and the next read wait for
  int read_events_;

  Phase phase_ = Phase::kHead;
  std::string head_bytes_;  // of an unfinished head
  http::HeadParser parser_;
  int interim_heads_ = 0;
  bool keep_alive_ = false;
  http::BodyReader body_;
  std::string decoded_;

  ForwardResult result_;
  bool reusable_ = false;
};

}  // namespace oncegate::upstream

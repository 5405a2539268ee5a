#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "gateway/exchange.h"
#include "ingress/listener.h"

namespace oncegate {

// What other threads tell an event loop.
struct AdoptConnection {
  Accepted accepted;
};
struct WholeReply {
  Reply reply;
};
struct ReplyBegin {
  Reply reply;
  bool length_known = false;
};
struct ReplyData {
  std::string data;
};
struct ReplyEnd {
  bool whole = true;  // false: the answer broke off, and so must the connection
};
struct StopAccepting {};
struct StopLoop {
  int64_t deadline_ms = 0;
};

struct LoopMessage {
  uint64_t connection = 0;  // of the replies
  std::variant<AdoptConnection, WholeReply, ReplyBegin, ReplyData, ReplyEnd, StopAccepting, StopLoop> what;
};

// The way into an event loop for other threads: a queue and an eventfd that wakes the loop. Bounded by what its senders
// may send: one reply a request in flight, and kStreamBytesMax a streamed answer. Thread-safe.
class Mailbox {
 public:
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // After Close the message is dropped.
  void Post(LoopMessage message);
  std::vector<LoopMessage> TakeAll();
  void Close();

  [[nodiscard]] int event_fd() const { return event_.get(); }

 private:
  OwnedFd event_;
  std::mutex mutex_;
  std::vector<LoopMessage> messages_;  // guarded by mutex_
  bool closed_ = false;                // guarded by mutex_
};

}  // namespace oncegate

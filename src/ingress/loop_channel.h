#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "gateway/exchange.h"
#include "ingress/mailbox.h"

namespace oncegate {

class Connection;

// What a connection and the channel of its current request share.
struct ChannelState {
  explicit ChannelState(ByteBudget& the_memory) : memory(the_memory) {}
  ~ChannelState() { memory.Give(static_cast<int64_t>(queued_bytes)); }
  ChannelState(const ChannelState&) = delete;
  ChannelState& operator=(const ChannelState&) = delete;

  ByteBudget& memory;
  std::atomic<bool> client_gone{false};
  std::mutex mutex;
  std::condition_variable changed;
  size_t queued_bytes = 0;  // guarded by mutex; streamed, not yet taken by the client, and taken from `memory`
  bool closed = false;      // guarded by mutex; the connection is no more

  // The client took `bytes` of what was streamed.
  void Taken(size_t bytes);
  void Close();
};

// The ingress's ReplyChannel: brings the answer to the loop that owns the connection. `state` and `mailbox` are shared
// because the request may outlive the connection, and the connection the request.
class LoopChannel final : public ReplyChannel {
 public:
  LoopChannel(std::shared_ptr<Mailbox> mailbox, uint64_t connection, std::shared_ptr<ChannelState> state);
  ~LoopChannel() override;
  LoopChannel(const LoopChannel&) = delete;
  LoopChannel& operator=(const LoopChannel&) = delete;

  void Send(Reply reply) override;
  void Begin(Reply reply, bool length_known) override;
  bool Write(std::string_view data, Pace pace) override;
  void Finish() override;
  [[nodiscard]] bool ClientGone() const override;

  // While a connection hands a request over on its loop's thread, the answer may come back before the call returns; it
  // then goes straight into the connection, without a detour through the mailbox. One scope a thread at a time.
  class DispatchScope {
   public:
    DispatchScope(Connection* connection, const ChannelState* state);
    ~DispatchScope();
    DispatchScope(const DispatchScope&) = delete;
    DispatchScope& operator=(const DispatchScope&) = delete;
  };

 private:
  bool AwaitRoom(size_t bytes, Pace pace);
  void Post(LoopMessage message);

  const std::shared_ptr<Mailbox> mailbox_;
  const uint64_t connection_;
  const std::shared_ptr<ChannelState> state_;
  bool finished_ = false;
  uint64_t streamed_bytes_ = 0;
  int64_t waited_ms_ = 0;  // for the client to read, all pieces together
};

}  // namespace oncegate

#include "ingress/loop_channel.h"

#include <chrono>
#include <utility>

#include "ingress/connection.h"

namespace oncegate {
namespace {

// The connection that is handing over a request on this thread right now.
thread_local Connection* dispatching = nullptr;
thread_local uint64_t dispatching_id = 0;

}  // namespace

void ChannelState::Taken(size_t bytes) {
  const std::lock_guard lock(mutex);
  queued_bytes -= bytes;
  changed.notify_all();
}

void ChannelState::Close() {
  client_gone = true;
  const std::lock_guard lock(mutex);
  closed = true;
  changed.notify_all();
}

LoopChannel::DispatchScope::DispatchScope(Connection* connection, uint64_t id) {
  dispatching = connection;
  dispatching_id = id;
}

LoopChannel::DispatchScope::~DispatchScope() {
  dispatching = nullptr;
  dispatching_id = 0;
}

LoopChannel::LoopChannel(std::shared_ptr<Mailbox> mailbox, uint64_t connection, std::shared_ptr<ChannelState> state)
    : mailbox_(std::move(mailbox)), connection_(connection), state_(std::move(state)) {}

LoopChannel::~LoopChannel() {
  if (!finished_) Post({connection_, ReplyEnd{.whole = false}});
}

void LoopChannel::Send(Reply reply) {
  finished_ = true;
  if (dispatching != nullptr && dispatching_id == connection_) return dispatching->TakeReply(std::move(reply));
  Post({connection_, WholeReply{std::move(reply)}});
}

void LoopChannel::Begin(Reply reply, bool length_known) { Post({connection_, ReplyBegin{std::move(reply), length_known}}); }

bool LoopChannel::Write(std::string_view data) {
  {
    std::unique_lock lock(state_->mutex);
    const bool room = state_->changed.wait_for(lock, std::chrono::milliseconds(kStreamStallMsMax), [this] {
      return state_->closed || state_->queued_bytes < kStreamBytesMax;
    });
    if (state_->closed || !room) return false;
    state_->queued_bytes += data.size();
  }
  Post({connection_, ReplyData{std::string(data)}});
  return true;
}

void LoopChannel::Finish() {
  finished_ = true;
  Post({connection_, ReplyEnd{.whole = true}});
}

bool LoopChannel::ClientGone() const { return state_->client_gone.load(std::memory_order_relaxed); }

void LoopChannel::Post(LoopMessage message) { mailbox_->Post(std::move(message)); }

}  // namespace oncegate

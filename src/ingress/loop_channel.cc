#include "ingress/loop_channel.h"

#include <chrono>
#include <utility>

#include "ingress/connection.h"

namespace oncegate {
namespace {

// The connection that is handing over a request on this thread right now.
thread_local Connection* dispatching = nullptr;
thread_local const ChannelState* dispatching_state = nullptr;

}  // namespace

void ChannelState::Taken(size_t bytes) {
  const std::lock_guard lock(mutex);
  queued_bytes -= bytes;
  memory.Give(static_cast<int64_t>(bytes));
  changed.notify_all();
}

void ChannelState::Close() {
  client_gone = true;
  const std::lock_guard lock(mutex);
  closed = true;
  changed.notify_all();
}

LoopChannel::DispatchScope::DispatchScope(Connection* connection, const ChannelState* state) {
  dispatching = connection;
  dispatching_state = state;
}

LoopChannel::DispatchScope::~DispatchScope() {
  dispatching = nullptr;
  dispatching_state = nullptr;
}

LoopChannel::LoopChannel(std::shared_ptr<Mailbox> mailbox, uint64_t connection, std::shared_ptr<ChannelState> state)
    : mailbox_(std::move(mailbox)), connection_(connection), state_(std::move(state)) {}

LoopChannel::~LoopChannel() {
  if (!finished_) Post({connection_, ReplyEnd{.whole = false}});
}

void LoopChannel::Send(Reply reply) {
  finished_ = true;
  // The state is this request's own. An id would not do: each loop counts its connections for itself, and an answer may
  // be given on another loop's thread.
  if (dispatching_state == state_.get()) return dispatching->TakeReply(std::move(reply));
  Post({connection_, WholeReply{std::move(reply)}});
}

void LoopChannel::Begin(Reply reply, bool length_known) {
  Post({connection_, ReplyBegin{std::move(reply), length_known}});
}

bool LoopChannel::Write(std::string_view data, Pace pace) {
  if (!AwaitRoom(data.size(), pace)) return false;
  streamed_bytes_ += data.size();
  Post({connection_, ReplyData{std::string(data)}});
  return true;
}

// Whether `bytes` more may be queued for the client; they are taken from the budget then.
bool LoopChannel::AwaitRoom(size_t bytes, Pace pace) {
  const bool of_application = pace == Pace::kApplication;
  const size_t queued_max = of_application ? kUnpacedBytesMax : kStreamBytesMax;
  int64_t patience_ms = of_application ? kUnpacedStallMsMax : kStreamStallMsMax;
  patience_ms += static_cast<int64_t>(of_application ? 0 : streamed_bytes_ / kStreamBytesPerMsMin);
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(state_->mutex);
  const auto room = [&] { return state_->closed || state_->queued_bytes < queued_max; };
  if (!room()) {
    if (waited_ms_ >= patience_ms) return false;
    const bool in_time = state_->changed.wait_for(lock, std::chrono::milliseconds(patience_ms - waited_ms_), room);
    waited_ms_ +=
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
    if (!in_time) return false;
  }
  if (state_->closed || !state_->memory.TryTake(static_cast<int64_t>(bytes))) return false;
  state_->queued_bytes += bytes;
  return true;
}

void LoopChannel::Finish() {
  finished_ = true;
  Post({connection_, ReplyEnd{.whole = true}});
}

bool LoopChannel::ClientGone() const {
  return state_->client_gone.load(std::memory_order_relaxed);
}

void LoopChannel::Post(LoopMessage message) {
  mailbox_->Post(std::move(message));
}

}  // namespace oncegate

#include "gateway/response_collector.h"

#include <utility>

#include "gateway/messages.h"

namespace oncegate {

ResponseCollector::ResponseCollector(const Plan& plan, ReplyChannel& channel, ByteBudget& budget)
    : plan_(plan), channel_(channel), memory_(budget), copy_memory_(budget), has_copy_(plan.copy_bytes_max > 0) {}

bool ResponseCollector::OnHead(http::ResponseHead head) {
  head_ = std::move(head);
  // An answer to a request that is not remembered flows at once unless it is known to be small: nobody should wait
  // for the end of an event stream.
  const bool small =
      head_->framing == http::Framing::kNone || (head_->framing == http::Framing::kContentLength &&
                                                 head_->content_length <= static_cast<uint64_t>(plan_.keep_bytes_max));
  if (!plan_.keyed && !small) return Flow();
  return true;
}

void ResponseCollector::Copy(std::string_view data) {
  if (!has_copy_) return;
  const auto size = static_cast<int64_t>(copy_.size() + data.size());
  has_copy_ = size <= plan_.copy_bytes_max && copy_memory_.GrowTo(size);
  if (has_copy_) {
    copy_.append(data);
  } else {
    copy_ = {};
    copy_memory_.Clear();
  }
}

bool ResponseCollector::OnBody(std::string_view data) {
  Copy(data);
  if (!flowing_) {
    const auto size = static_cast<int64_t>(kept_.size() + data.size());
    if (size <= plan_.keep_bytes_max && Reserve(size)) {
      kept_.append(data);
      return true;
    }
    if (!Flow() && !plan_.keyed) return false;
  }
  if (!plan_.keyed) return channel_.Write(data, pace());
  WriteKept();
  kept_.assign(data);
  return true;
}

// A keyed answer is kept even when memory is short: it was executed, and its retries need all of it. It is bounded by
// --workers times --max-stored-body, and what waits to be written by WorkerPool::kRanASlotMax times that.
bool ResponseCollector::Reserve(int64_t bytes) {
  if (!plan_.keyed) return memory_.GrowTo(bytes);
  memory_.ForceTo(bytes);
  return true;
}

bool ResponseCollector::WriteKept() {
  if (!client_lost_ && !kept_.empty()) client_lost_ = !channel_.Write(kept_, pace());
  return !client_lost_;
}

Reply ResponseCollector::Start() {
  return Reply{head_->status, ClientHead(*head_, plan_.outcome), {}};
}

// From now on the answer goes through. What was kept goes first.
bool ResponseCollector::Flow() {
  flowing_ = true;
  channel_.Begin(Start(), head_->framing == http::Framing::kContentLength);
  const bool written = WriteKept();
  kept_.clear();
  memory_.Clear();
  return written;
}

void ResponseCollector::Finish() {
  if (flowing_) {
    if (WriteKept()) channel_.Finish();
    return;
  }
  Reply reply = Start();
  if (plan_.request_method != "HEAD") CompleteLength(*head_, kept_.size(), &reply.head);
  reply.body = std::move(kept_);
  channel_.Send(std::move(reply));
}

}  // namespace oncegate

#include "store/call_combiner.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace oncegate {

void CallCombiner::Submit(StoreCall call, Done done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(call), std::move(done)});
    if (std::exchange(making_, true)) return;
  }
  for (std::vector<Waiting> waiting = TakeWaiting(); !waiting.empty(); waiting = TakeWaiting())
    Make(std::move(waiting));
}

std::vector<CallCombiner::Waiting> CallCombiner::TakeWaiting() {
  const std::lock_guard lock(mutex_);
  std::vector<Waiting> taken;
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kTogetherMax));
  taken.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  making_ = !taken.empty();
  return taken;
}

void CallCombiner::Make(std::vector<Waiting> waiting) {
  std::vector<StoreCall> calls;
  calls.reserve(waiting.size());
  for (Waiting& one : waiting) calls.push_back(std::move(one.call));
  store_.CallTogether(&calls);
  for (size_t i = 0; i < calls.size(); ++i) waiting[i].done(std::move(calls[i]));
}

}  // namespace oncegate

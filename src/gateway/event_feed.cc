#include "gateway/event_feed.h"

#include <algorithm>

#include "gateway/request_meter.h"

namespace oncegate {
namespace {

constexpr int64_t kSecondMs = 1000;

bool IsCommon(Outcome outcome) {
  return outcome.index() == Outcome::kReplayed || outcome.index() == Outcome::kPassed;
}

}  // namespace

EventFeed::Subscription::Subscription(EventFeed& feed) : feed_(feed) {}

EventFeed::Subscription::~Subscription() {
  const std::lock_guard lock(feed_.mutex_);
  feed_.subscribers_.fetch_sub(1);
}

std::unique_ptr<EventFeed::Subscription> EventFeed::Subscribe() {
  const std::lock_guard lock(mutex_);
  if (subscribers() >= kSubscribersMax) return nullptr;
  subscribers_.fetch_add(1);
  std::unique_ptr<Subscription> subscription(new Subscription(*this));
  subscription->next_ = events_.end();
  subscription->next_common_ = common_events_.end();
  subscription->turned_away_before_ = turned_away_.load();
  return subscription;
}

void EventFeed::PublishWatched(const FinishedRequest& request) {
  const bool common = IsCommon(request.outcome);
  Door& door = common ? common_door_ : door_;
  const int64_t slot = clock_.SteadyMs() / kSlotMs;
  const auto full = [&door, slot] {
    return door.slot.load(std::memory_order_relaxed) == slot &&
           door.let_in.load(std::memory_order_relaxed) >= door.per_slot_max;
  };
  if (full()) {
    turned_away_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  RequestEvent event{.at_ms = clock_.WallMs(),
                     .scope = std::string(request.scope),
                     .key = std::string(request.key),
                     .type = std::string(request.type),
                     .outcome = request.outcome,
                     .status = request.status,
                     .duration_us = request.duration_us,
                     .attempt = request.attempt,
                     .source_ip = std::string(request.source_ip)};
  const std::lock_guard lock(mutex_);
  if (full()) {
    turned_away_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const bool same_slot = door.slot.load() == slot;
  door.let_in.store(same_slot ? door.let_in.load() + 1 : 1);
  door.slot.store(slot);
  Ring& ring = common ? common_events_ : events_;
  ring.kept.push_back({next_number_++, std::move(event)});
  if (ring.kept.size() <= ring.kept_max) return;
  ring.kept.pop_front();
  ++ring.first;
}

EventFeed::Batch EventFeed::Subscription::Take() {
  const int64_t now_ms = feed_.clock_.SteadyMs();
  while (!told_at_ms_.empty() && told_at_ms_.front() <= now_ms - kSecondMs) told_at_ms_.pop_front();
  Batch batch;
  const std::lock_guard lock(feed_.mutex_);
  std::vector<const Kept*> taken;
  TakeFrom(feed_.events_, &next_, kEventsPerSecondMax - told_at_ms_.size(), &taken);
  TakeFrom(feed_.common_events_, &next_common_, kEventsPerSecondMax - told_at_ms_.size() - taken.size(), &taken);
  std::sort(taken.begin(), taken.end(), [](const Kept* a, const Kept* b) { return a->number < b->number; });
  for (const Kept* kept : taken) batch.events.push_back(kept->event);
  told_at_ms_.insert(told_at_ms_.end(), taken.size(), now_ms);
  batch.dropped = missed_ + feed_.turned_away_.load() - turned_away_before_;
  return batch;
}

// Up to `count` events from the one numbered `*next` on.
void EventFeed::Subscription::TakeFrom(const Ring& ring, uint64_t* next, size_t count,
                                       std::vector<const Kept*>* taken) {
  if (*next < ring.first) {
    missed_ += ring.first - *next;
    *next = ring.first;
  }
  for (; count > 0 && *next < ring.end(); --count, ++*next) taken->push_back(&ring.kept[*next - ring.first]);
}

}  // namespace oncegate

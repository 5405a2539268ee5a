#include "gateway/outcome.h"

namespace oncegate {

std::string_view Outcome::name() const {
  switch (index_) {
    case kExecuted:
      return "executed";
    case kReplayed:
      return "replayed";
    case kUnkeyed:
      return "unkeyed";
    case kPassed:
      return "passed";
    case kUnprotected:
      return "unprotected";
    default:
      return http::ErrorName(static_cast<http::ErrorCode>(index_ - kKinds));
  }
}

void OutcomeCounters::Add(Outcome outcome) {
  static std::atomic<size_t> next_row{0};
  thread_local const size_t row = next_row.fetch_add(1, std::memory_order_relaxed) % kRows;
  rows_[row].counts[outcome.index()].fetch_add(1, std::memory_order_relaxed);
}

uint64_t OutcomeCounters::Total(Outcome outcome) const {
  uint64_t total = 0;
  for (const Row& row : rows_) total += row.counts[outcome.index()].load(std::memory_order_relaxed);
  return total;
}

}  // namespace oncegate

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/byte_budget.h"
#include "gateway/exchange.h"
#include "gateway/outcome.h"
#include "upstream/upstream.h"

namespace oncegate {

// Takes the application's answer while it comes: keeps it as long as it is small, and lets it flow to the client from
// where it is not. Not thread-safe; one object a forwarded request.
class ResponseCollector final : public ResponseReceiver {
 public:
  struct Plan {
    std::string_view request_method;
    Outcome outcome;  // what the client is told, should the answer flow
    int64_t keep_bytes_max = 0;
    // Keyed: the last bytes of an answer that flows are held back until Finish, so that the client does not have a
    // whole answer before it is remembered; and a client that goes away does not stop the reading.
    bool keyed = false;
    // A second copy of the body is made for TakeCopy, if it has no more bytes than this and they fit into the budget.
    int64_t copy_bytes_max = 0;
  };

  ResponseCollector(const Plan& plan, ReplyChannel& channel, ByteBudget& budget);

  bool OnHead(http::ResponseHead head) override;
  bool OnBody(std::string_view data) override;
  // The first piece of an answer that flows never waits: nothing is queued for the client yet.
  [[nodiscard]] bool MayWait() const override { return flowing_; }

  // Null until the head came.
  [[nodiscard]] const http::ResponseHead* head() const { return head_ ? &*head_ : nullptr; }
  // Whether part of the answer has gone to the client: it can no longer get another one.
  [[nodiscard]] bool flowing() const { return flowing_; }
  // The whole body. REQUIRES: answered and not flowing().
  [[nodiscard]] const std::string& body() const { return kept_; }

  // Whether TakeCopy gives the whole body. REQUIRES: answered.
  [[nodiscard]] bool has_copy() const { return has_copy_; }
  std::string TakeCopy() { return std::move(copy_); }

  // Gives the client the rest: the whole answer, or what was held back of one that flowed. REQUIRES: answered.
  void Finish();

 private:
  bool Flow();
  bool Reserve(int64_t bytes);
  void Copy(std::string_view data);
  bool WriteKept();
  [[nodiscard]] ReplyChannel::Pace pace() const {
    return plan_.keyed ? ReplyChannel::Pace::kApplication : ReplyChannel::Pace::kClient;
  }
  [[nodiscard]] Reply Start();

  const Plan plan_;
  ReplyChannel& channel_;
  BudgetShare memory_;
  std::optional<http::ResponseHead> head_;
  std::string kept_;  // the body so far, or the piece that is held back
  BudgetShare copy_memory_;
  std::string copy_;
  bool has_copy_;
  bool flowing_ = false;
  bool client_lost_ = false;
};

}  // namespace oncegate

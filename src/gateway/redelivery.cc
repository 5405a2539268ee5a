// An operator has a stored request sent again.

#include <future>
#include <utility>

#include "gateway/delivery.h"
#include "gateway/gateway.h"
#include "gateway/messages.h"

namespace oncegate {
namespace {

using http::ErrorCode;

// Keeps status and fields of an answer for the thread that waits for it; the body is in the store. The answer is given
// when the delivery is gone, and the key with it: whoever has it can act on the key at once.
class HeadChannel final : public ReplyChannel {
 public:
  explicit HeadChannel(std::promise<Reply> promise) : promise_(std::move(promise)) {}
  ~HeadChannel() override { promise_.set_value(finished_ ? std::move(reply_) : Reply{}); }

  void Send(Reply reply) override {
    reply_ = std::move(reply);
    Finish();
  }
  void Begin(Reply reply, bool) override {
    reply_.status = reply.status;
    reply_.head = std::move(reply.head);
  }
  bool Write(std::string_view, Pace) override { return true; }
  void Finish() override { finished_ = true; }
  [[nodiscard]] bool ClientGone() const override { return false; }

 private:
  std::promise<Reply> promise_;
  Reply reply_;
  bool finished_ = false;
};

// A stored request as the ingress would hand it over; false if it is not what the sender sent.
bool ParseStored(const StoredRequest& stored, http::RequestHead* head) {
  // One of HTTP/1.0 may have come without Host.
  for (const std::string_view version : {" HTTP/1.1\r\n", " HTTP/1.0\r\n"}) {
    const std::string text = stored.method + " " + stored.target + std::string(version) + stored.fields + "\r\n";
    http::HeadParser parser;
    *head = {};
    if (parser.ParseRequest(text, head) == http::ParseState::kDone) return !head->fields.Find(kRedactedField);
  }
  return false;
}

ErrorCode CodeOf(Intervention why) {
  switch (why) {
    case Intervention::kDone:
    case Intervention::kSettled:
    case Intervention::kNotRedeliverable:
      return ErrorCode::kNotRedeliverable;
    case Intervention::kNoRecord:
      return ErrorCode::kNotFound;
    case Intervention::kInFlight:
      return ErrorCode::kInFlight;
  }
  return ErrorCode::kNotRedeliverable;
}

}  // namespace

Result<std::variant<Intervention, Reply>> Gateway::Redeliver(const ScopedKey& key, bool force, std::string_view by) {
  using Answer = std::variant<Intervention, Reply>;
  std::unique_ptr<Waiter> nobody;
  InFlightTable::Admission admission = table_.Admit(key, {}, 0, nobody);
  auto* permit = std::get_if<InFlightTable::Permit>(&admission);
  if (permit == nullptr) return Answer(Intervention::kInFlight);
  const auto leave = [permit](Intervention why) {
    permit->End(Ending::kForgot);
    return Answer(why);
  };
  Result<std::optional<Record>> record = store_.Get(key, RecordParts::kAll);
  if (!record.ok()) {
    permit->End(Ending::kForgot);
    return record.status();
  }
  if (!record->has_value()) return leave(Intervention::kNoRecord);
  if (FactsOf(**record, store_.NowMs()).owner_alive) return leave(Intervention::kInFlight);
  std::optional<StoredRequest>& stored = (*record)->request;
  http::RequestHead head;
  if (!stored || !stored->body_kept || !ParseStored(*stored, &head)) return leave(Intervention::kNotRedeliverable);
  // What is left of a redacted request is not what the sender meant, nor what it signed.
  if (head.fields.Count(kRedactedField) > 0) return leave(Intervention::kNotRedeliverable);
  // By the route that it came by: another's application must not see it.
  const std::shared_ptr<const Route> route = CurrentRoutes()->FindFor(key, head.target);
  if (route == nullptr) return leave(Intervention::kNotRedeliverable);
  InboundRequest request{std::move(head), std::move(stored->body), (*record)->source_ip,
                         false,           clock_.SteadyMs(),       BudgetShare(memory_)};

  std::promise<Reply> promise;
  std::future<Reply> answer = promise.get_future();
  auto delivery =
      std::make_unique<Delivery>(*this, route, std::move(request), std::make_unique<HeadChannel>(std::move(promise)));
  delivery->plan = Delivery::Plan::kRedeliver;
  delivery->key = key;
  delivery->type = (*record)->type;
  delivery->force = force;
  delivery->by = by;
  delivery->permit.emplace(std::move(*permit));
  Enqueue(std::move(delivery));
  return Answer(answer.get());
}

// False: nothing was claimed, and the operator has the answer.
bool Gateway::ClaimAgain(Delivery& delivery) {
  Result<RedeliveryResult> result = store_.Redeliver(delivery.key, delivery.force, delivery.by);
  if (!result.ok()) {
    LogStoreError(delivery, result.status());
    Refuse(delivery, ErrorCode::kStoreUnavailable, "The store cannot take a claim now; nothing was sent.");
    return false;
  }
  if (const auto* why = std::get_if<Intervention>(&*result)) {
    Refuse(delivery, CodeOf(*why),
           *why == Intervention::kSettled ? "The outcome of this key is known; force=true sends it again all the same."
                                          : "The record cannot be delivered again now.");
    return false;
  }
  delivery.redelivery = std::get<Redelivery>(*std::move(result));
  delivery.claim = Claimed{.token = delivery.redelivery->token, .attempt = delivery.redelivery->attempt};
  return true;
}

Ending Gateway::PutBack(Delivery& delivery, std::string_view reason) {
  const Redelivery& redelivery = *delivery.redelivery;
  const Status status = store_.PutBack(delivery.key, redelivery);
  // If it cannot be written the record says in progress, without a permit: that is unknown.
  if (!status.ok()) LogStoreError(delivery, status);
  logger_.Log(
      LogLevel::kInfo, LogEvent::kWarning, "a redelivery had no final answer: the record is as it was before",
      {{"scope", delivery.key.scope()}, {"key", delivery.key.key()}, {"reason", reason}, delivery.TraceField()});
  const bool settled = status.ok() && redelivery.before.state == RecordState::kCompleted;
  return settled ? Ending::kSettled : Ending::kUnknown;
}

}  // namespace oncegate

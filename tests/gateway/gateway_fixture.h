#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/messages.h"
#include "http/head.h"
#include "tests/support/fake_store.h"

namespace oncegate {

// What one client saw.
struct Seen {
  int status = 0;
  std::string head;
  std::string body;
  bool whole = false;  // false: the connection was cut
};

// The client's end of a request: keeps the answer.
class RecordingChannel final : public ReplyChannel {
 public:
  struct State {
    std::promise<Seen> done;
    std::atomic<bool> gone{false};
    std::mutex mutex;
    Seen seen;  // guarded by mutex
  };
  explicit RecordingChannel(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~RecordingChannel() override {
    if (!finished_) state_->done.set_value(Take(false));
  }

  void Send(Reply reply) override {
    Begin(std::move(reply), true);
    Finish();
  }
  void Begin(Reply reply, bool) override {
    const std::lock_guard lock(state_->mutex);
    state_->seen = {reply.status, std::move(reply.head), std::move(reply.body), false};
  }
  bool Write(std::string_view data, Pace) override {
    const std::lock_guard lock(state_->mutex);
    state_->seen.body += data;
    return !state_->gone;
  }
  void Finish() override {
    finished_ = true;
    state_->done.set_value(Take(true));
  }
  [[nodiscard]] bool ClientGone() const override { return state_->gone; }

 private:
  Seen Take(bool whole) {
    const std::lock_guard lock(state_->mutex);
    Seen seen = state_->seen;
    seen.whole = whole;
    return seen;
  }
  const std::shared_ptr<State> state_;
  bool finished_ = false;
};

// A request under way, from the client's side.
struct Call {
  std::shared_ptr<RecordingChannel::State> state;
  std::future<Seen> answer;

  Seen Get() { return answer.get(); }
};

// The application: answers as the test says, counts executions by key, and can be held at a gate.
class ScriptedUpstream final : public Upstream {
 public:
  ScriptedUpstream() = default;
  using Script = std::function<ForwardResult(const OutboundRequest&, ResponseReceiver&)>;

  ForwardResult Forward(const OutboundRequest& request, ResponseReceiver& receiver) override {
    Script script;
    {
      std::unique_lock lock(mutex_);
      heads_.push_back(request.head);
      changed_.notify_all();
      if (request.head.find("\r\nX-Hold: yes\r\n") != std::string::npos)
        changed_.wait(lock, [this] { return open_ || aborted_; });
      if (aborted_) return {ForwardEnd::kBroken, "aborted"};
      script = script_;
    }
    return script(request, receiver);
  }
  // Each request on a thread of its own, if it is to start them at all.
  bool Start(const OutboundRequest& request, ResponseReceiver& receiver,
             std::unique_ptr<ForwardObserver>& observer) override {
    const std::lock_guard lock(mutex_);
    if (!starts_ || aborted_) return false;
    threads_.emplace_back([this, &request, &receiver, told = observer.release()] {
      ForwardResult result = Forward(request, receiver);
      told->OnForwarded(std::unique_ptr<ForwardObserver>(told), std::move(result));
    });
    return true;
  }
  Status Probe(int64_t) override { return OkStatus(); }
  void Abort() override {
    std::vector<std::thread> threads;
    {
      const std::lock_guard lock(mutex_);
      aborted_ = true;
      changed_.notify_all();
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
  }
  ~ScriptedUpstream() override { Abort(); }
  void set_starts(bool starts) {
    const std::lock_guard lock(mutex_);
    starts_ = starts;
  }

  void Answer(int status, std::string body, std::string fields = {}) {
    SetScript([=](const OutboundRequest&, ResponseReceiver& receiver) {
      return Respond(receiver, status, fields + "Content-Length: " + std::to_string(body.size()) + "\r\n", {body});
    });
  }
  void Fail(ForwardEnd end) {
    SetScript([=](const OutboundRequest&, ResponseReceiver&) { return ForwardResult{end, "scripted"}; });
  }
  void SetScript(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  // Requests with "X-Hold: yes" wait until the gate opens.
  void OpenGate() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void CloseGate() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void AwaitRequests(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heads_.size() >= count; });
  }
  std::vector<std::string> heads() {
    const std::lock_guard lock(mutex_);
    return heads_;
  }
  size_t executions() { return heads().size(); }

  static ForwardResult Respond(ResponseReceiver& receiver, int status, const std::string& fields,
                               const std::vector<std::string>& pieces) {
    const std::string text = "HTTP/1.1 " + std::to_string(status) + " Said\r\n" + fields + "\r\n";
    http::ResponseHead head;
    http::HeadParser parser;
    EXPECT_EQ(parser.ParseResponse(text, "POST", &head), http::ParseState::kDone) << text;
    if (!receiver.OnHead(std::move(head))) return {ForwardEnd::kStopped, "stopped"};
    for (const std::string& piece : pieces) {
      if (!piece.empty() && !receiver.OnBody(piece)) return {ForwardEnd::kStopped, "stopped"};
    }
    return {ForwardEnd::kAnswered, {}};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> heads_;    // guarded by mutex_
  Script script_;                     // guarded by mutex_
  bool open_ = false;                 // guarded by mutex_
  bool aborted_ = false;              // guarded by mutex_
  bool starts_ = false;               // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
};

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() { upstream_.Answer(200, "order-1"); }
  ~GatewayTest() override {
    if (gateway_) gateway_->ShutDown();
  }

  void Start(const Route& route = {}, const GatewayLimits& limits = {.max_in_flight = 1024, .workers = 4}) {
    gateway_ = std::make_unique<Gateway>(RouteTable(std::make_shared<const Route>(route)), limits,
                                         GatewayParts{store_, upstream_, memory_, clock_, logger_});
  }

  // Sends a request as the ingress would. `fields` are whole lines.
  Call Send(const std::string& method, const std::string& fields, std::string body = "{}",
            const std::string& target = "/webhook") {
    const std::string text = method + " " + target + " HTTP/1.1\r\nHost: app\r\n" + fields + "\r\n";
    http::RequestHead head;
    http::HeadParser parser;
    EXPECT_EQ(parser.ParseRequest(text, &head), http::ParseState::kDone) << text;
    auto state = std::make_shared<RecordingChannel::State>();
    std::future<Seen> answer = state->done.get_future();
    std::optional<Gateway::Sighting> seen;
    if (const auto outcome = gateway_->TryReplay({head, body, "192.0.2.7"}, &seen)) {
      const StoredResponse& response = *outcome->record.response;
      state->done.set_value({response.status, response.head + std::string(ReplayFields()), response.body, true});
      return {std::move(state), std::move(answer)};
    }
    InboundRequest request{std::move(head), std::move(body),   "192.0.2.7",
                           false,           clock_.SteadyMs(), BudgetShare(memory_)};
    gateway_->Handle(std::move(request), std::make_unique<RecordingChannel>(state), std::move(seen));
    return {std::move(state), std::move(answer)};
  }
  Call Post(const std::string& key, const std::string& fields = {}, std::string body = "{}") {
    return Send("POST", "Idempotency-Key: " + key + "\r\n" + fields, std::move(body));
  }
  Call PostHeld(const std::string& key) { return Post(key, "X-Hold: yes\r\n"); }

  // A client has its answer a moment before the worker lets go of the key.
  void AwaitEnd(const ScopedKey& key) const {
    while (gateway_->IsExecuting(key)) std::this_thread::yield();
  }

  static std::string Outcome(const Seen& seen) {
    const std::string name = "Oncegate-Outcome: ";
    const size_t at = seen.head.find(name);
    if (at == std::string::npos) return "(none)";
    return seen.head.substr(at + name.size(), seen.head.find("\r\n", at) - at - name.size());
  }
  // "200 executed"
  static std::string Verdict(const Seen& seen) { return std::to_string(seen.status) + " " + Outcome(seen); }

  SystemClock clock_;
  Logger logger_{LogFormat::kText, LogLevel::kError};
  ByteBudget memory_{64 << 20};
  FakeStore store_{clock_};
  ScriptedUpstream upstream_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace oncegate

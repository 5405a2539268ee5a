#include "upstream/exchange.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <utility>

#include "tests/upstream/recorder.h"

namespace oncegate::upstream {
namespace {

// Does what a list says, and is always ready.
class FakeTransport final : public Transport {
 public:
  FakeTransport() : Transport(Descriptor(eventfd(1, EFD_CLOEXEC))) { SetFailure("made to fail"); }

  struct Step {
    Io io;
    std::string bytes = {};  // given by a read
    size_t taken = 0;        // of a write
  };
  std::deque<Step> writes;
  std::deque<Step> reads;

  IoResult Write(std::string_view first, std::string_view second) override {
    if (writes.empty()) return {Io::kWantWrite};
    const Step step = writes.front();
    writes.pop_front();
    if (step.io != Io::kProgress) return {step.io};
    const size_t taken = std::min(step.taken, first.size() + second.size());
    CountAccepted(taken);
    return {Io::kProgress, taken};
  }
  IoResult Read(char* out, size_t size) override {
    if (reads.empty()) return {Io::kWantRead};
    const Step step = reads.front();
    reads.pop_front();
    const size_t given = std::min(size, step.bytes.size());
    std::memcpy(out, step.bytes.data(), given);
    return {step.io, given};
  }
  [[nodiscard]] bool HasBuffered() const override { return !reads.empty(); }
};

class ExchangeTest : public testing::Test {
 protected:
  ForwardResult Run(OutboundRequest request = MakeRequest("body")) {
    const Waiter waiter(clock_, abort_, 200);
    Exchange exchange(transport_, request, recorder_, waiter);
    exchange.Run();
    reusable_ = exchange.reusable();
    return exchange.TakeResult();
  }

  SystemClock clock_;
  AbortSignal abort_;
  FakeTransport transport_;
  Recorder recorder_;
  bool reusable_ = false;
};

constexpr size_t kAll = 1 << 20;
const char* const kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

TEST_F(ExchangeTest, AFirstWriteThatFailsWithNothingTakenIsNotSent) {
  transport_.writes = {{Io::kFailed}};
  const ForwardResult result = Run();
  EXPECT_EQ(result.end, ForwardEnd::kNotSent);
  EXPECT_EQ(result.detail, "made to fail");
}

TEST_F(ExchangeTest, OneTakenByteCountsAsSent) {
  transport_.writes = {{Io::kProgress, "", 1}, {Io::kFailed}};
  transport_.reads = {{Io::kEnd}};
  EXPECT_EQ(Run().end, ForwardEnd::kBroken);
}

TEST_F(ExchangeTest, AnAnswerThatWaitsBehindAFailedWriteIsDelivered) {
  transport_.writes = {{Io::kProgress, "", 10}, {Io::kFailed}};
  transport_.reads = {{Io::kProgress, kAnswer}};
  EXPECT_EQ(Run().end, ForwardEnd::kAnswered);
  EXPECT_EQ(recorder_.body, "hi");
  EXPECT_FALSE(reusable_);
}

TEST_F(ExchangeTest, ABodyDelimitedByTheEndIsNotTrustedAfterAFailedWrite) {
  transport_.writes = {{Io::kProgress, "", 10}, {Io::kFailed}};
  transport_.reads = {{Io::kProgress, "HTTP/1.1 200 OK\r\n\r\nhi"}, {Io::kEnd}};
  EXPECT_EQ(Run().end, ForwardEnd::kBroken);
}

TEST_F(ExchangeTest, BytesBeforeAnythingWasSentAreNoAnswer) {
  transport_.writes = {{Io::kWantWrite}};
  transport_.reads = {{Io::kProgress, kAnswer}};
  EXPECT_EQ(Run().end, ForwardEnd::kNotSent);
  EXPECT_EQ(recorder_.heads, 0);
}

TEST_F(ExchangeTest, AnAnswerBeforeTheWholeRequestIsWrittenEndsTheConnection) {
  transport_.writes = {{Io::kProgress, "", 10}, {Io::kWantWrite}};
  transport_.reads = {{Io::kProgress, kAnswer}};
  EXPECT_EQ(Run().end, ForwardEnd::kAnswered);
  EXPECT_FALSE(reusable_);
}

TEST_F(ExchangeTest, EverySplitOfAnAnswerIsTheSame) {
  const std::string answer =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n";
  for (size_t split = 0; split <= answer.size(); ++split) {
    transport_.writes = {{Io::kProgress, "", kAll}};
    transport_.reads.clear();
    for (const std::string& part : {answer.substr(0, split), answer.substr(split)}) {
      if (!part.empty()) transport_.reads.push_back({Io::kProgress, part});
    }
    recorder_ = Recorder();
    EXPECT_EQ(Run().end, ForwardEnd::kAnswered) << split;
    EXPECT_EQ(recorder_.heads, 1) << split;
    EXPECT_EQ(recorder_.status, 201) << split;
    EXPECT_EQ(recorder_.body, "hello world") << split;
    EXPECT_TRUE(reusable_) << split;
  }
}

TEST_F(ExchangeTest, BytesAfterTheAnswerEndTheConnection) {
  transport_.writes = {{Io::kProgress, "", kAll}};
  transport_.reads = {{Io::kProgress, std::string(kAnswer) + "x"}};
  EXPECT_EQ(Run().end, ForwardEnd::kAnswered);
  EXPECT_FALSE(reusable_);
}

TEST_F(ExchangeTest, TooManyInterimAnswersAreBroken) {
  std::string answers;
  for (int i = 0; i <= Exchange::kInterimHeadsMax; ++i) answers += "HTTP/1.1 102 Processing\r\n\r\n";
  transport_.writes = {{Io::kProgress, "", kAll}};
  transport_.reads = {{Io::kProgress, answers + kAnswer}};
  EXPECT_EQ(Run().end, ForwardEnd::kBroken);
}

TEST_F(ExchangeTest, TimeIsUpWithOrWithoutSentBytes) {
  transport_.writes = {{Io::kProgress, "", 1}};
  OutboundRequest request = MakeRequest("body");
  const Waiter waiter(clock_, abort_, 1);
  Exchange sent(transport_, request, recorder_, waiter);
  sent.Run();
  EXPECT_EQ(sent.TakeResult().end, ForwardEnd::kTimedOut);
  const Waiter another(clock_, abort_, 1);
  Exchange unsent(transport_, request, recorder_, another);
  unsent.Run();
  EXPECT_EQ(unsent.TakeResult().end, ForwardEnd::kNotSent);
}

}  // namespace
}  // namespace oncegate::upstream

// Whole streams of bytes, as senders and attackers put them on a connection, through the parsers as the ingress uses
// them. The table is a file because a second parser reads it, too (node_requests.mjs).

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/body.h"
#include "http/head.h"
#include "tests/http/rows.h"

namespace oncegate::http {
namespace {

// Takes requests out of a stream as it arrives, and says which.
class StreamReader {
 public:
  // The stream up to here; it begins with the same bytes at every call.
  void Offer(std::string_view stream) {
    while (!ended_ && TakeRequest(stream)) {
    }
  }

  // The end of the stream. "POST /a 5 + GET /b 0 + 400"
  std::string Verdict(std::string_view stream) {
    if (!ended_ && (head_done_ || taken_ < stream.size())) Say("more");
    return verdict_.empty() ? "nothing" : verdict_;
  }

 private:
  bool TakeRequest(std::string_view stream) {
    if (!head_done_) {
      const std::string_view rest = stream.substr(taken_);
      if (rest.empty()) return false;
      // In a buffer of its own, so that a sanitizer sees reads past its end.
      const std::vector<char> seen(rest.begin(), rest.end());
      const ParseState state = parser_.ParseRequest({seen.data(), seen.size()}, &head_);
      if (state == ParseState::kError) return End(parser_.error().code);
      if (state == ParseState::kNeedMore) return false;
      taken_ += parser_.consumed();
      head_done_ = true;
      body_ = BodyReader(head_.framing, head_.content_length);
    }
    size_t used = 0;
    std::string body;
    const ParseState state = body_.Read(stream.substr(taken_), &used, &body);
    taken_ += used;
    if (state == ParseState::kError) return End(body_.error().code);
    if (state == ParseState::kNeedMore) return false;
    Say(head_.method + " " + head_.target + " " + std::to_string(body_.delivered()));
    if (!head_.keep_alive) {
      Say("close");
      ended_ = true;
      return false;
    }
    parser_ = {};
    head_ = {};
    head_done_ = false;
    return true;
  }
  bool End(ErrorCode code) {
    Say(std::to_string(ErrorStatus(code)));
    ended_ = true;
    return false;
  }
  void Say(const std::string& word) { verdict_ += (verdict_.empty() ? "" : " + ") + word; }

  size_t taken_ = 0;
  bool head_done_ = false;
  bool ended_ = false;
  HeadParser parser_;
  RequestHead head_;
  BodyReader body_;
  std::string verdict_;
};

std::string VerdictOf(const std::string& stream, const std::vector<size_t>& arrivals) {
  StreamReader reader;
  for (const size_t size : arrivals) reader.Offer(std::string_view(stream).substr(0, size));
  reader.Offer(stream);
  return reader.Verdict(stream);
}

TEST(RawRequests, TheTableIsAsLongAsItWasPromised) {
  EXPECT_GE(ReadRawRequests(RAW_REQUESTS_FILE).size(), 150U);
}

TEST(RawRequests, EveryStreamGetsItsVerdictHoweverItIsSplit) {
  for (const RawRequestRow& row : ReadRawRequests(RAW_REQUESTS_FILE)) {
    const std::string& stream = row.stream;
    ASSERT_EQ(VerdictOf(stream, {}), row.verdict) << "line " << row.line << ": " << stream.substr(0, 200);
    std::vector<size_t> every_byte;
    // The long ones differ from each other only in how long they are.
    const size_t step = stream.size() > 2000 ? 97 : 1;
    for (size_t at = 1; at < stream.size(); at += step) {
      every_byte.push_back(at);
      ASSERT_EQ(VerdictOf(stream, {at}), row.verdict) << "line " << row.line << " split at " << at;
    }
    ASSERT_EQ(VerdictOf(stream, every_byte), row.verdict) << "line " << row.line << " in single bytes";
  }
}

}  // namespace
}  // namespace oncegate::http

#include "upstream/exchange.h"

#include <poll.h>

#include <memory>
#include <utility>

namespace oncegate::upstream {
Exchange::Exchange(Transport& transport, const OutboundRequest& request, ResponseReceiver& receiver,
                   const Waiter& waiter)
    : transport_(transport),
      request_(request),
      receiver_(receiver),
      waiter_(waiter),
      accepted_before_(transport.accepted()),
      read_events_(POLLIN) {}

void Exchange::Run() {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
  while (WriteOn() && WaitOn() && ReadOn({buffer.get(), kReadBytes})) {
  }
}

// Writes until the socket takes no more. A lost connection is no end yet if bytes were sent: an application that
// refuses a large body answers and closes, and its answer may be waiting to be read.
bool Exchange::WriteOn() {
  write_events_ = 0;
  const std::string_view head = request_.head;
  while (writing_) {
    const bool in_head = written_ < head.size();
    const std::string_view body = in_head ? request_.body : request_.body.substr(written_ - head.size());
    const IoResult result = transport_.Write(in_head ? head.substr(written_) : std::string_view(), body);
    switch (result.io) {
      case Io::kProgress:
        written_ += result.bytes;
        writing_ = written_ < head.size() + request_.body.size();
        break;
      case Io::kWantRead:
        write_events_ = POLLIN;
        return true;
      case Io::kWantWrite:
        write_events_ = POLLOUT;
        return true;
      case Io::kEnd:
      case Io::kFailed:
        if (!AnythingSent()) return EndUnanswered(ForwardEnd::kNotSent, transport_.failure());
        writing_ = false;
        write_failed_ = true;
        break;
    }
  }
  return true;
}

bool Exchange::WaitOn() {
  // With bytes at hand the wait would be for nothing, but the end of the call still counts.
  if (transport_.HasBuffered() && waiter_.LeftMs() > 0) return true;
  const WaitEnd end = waiter_.Wait(transport_.fd(), read_events_ | write_events_, request_.idle_timeout_ms);
  if (end == WaitEnd::kReady) return true;
  GiveUp(end);
  return false;
}

void Exchange::GiveUp(WaitEnd why) {
  if (why == WaitEnd::kTimedOut)
    EndUnanswered(ForwardEnd::kTimedOut, "no whole answer came in time");
  else
    EndUnanswered(ForwardEnd::kBroken, "the wait for the answer was ended by a shutdown");
}

bool Exchange::ReadOn(std::span<char> buffer) {
  const IoResult result = transport_.Read(buffer.data(), buffer.size());
  read_events_ = POLLIN;
  switch (result.io) {
    case Io::kProgress:
      return TakeBytes({buffer.data(), result.bytes});
    case Io::kWantRead:
      return true;
    case Io::kWantWrite:
      read_events_ = POLLOUT;
      return true;
    case Io::kEnd:
      // After a reset that a write has met, reads say no more than "end": a body that only the end delimits may be cut.
      if (phase_ == Phase::kBody && !write_failed_ && body_.FinishAtClose()) {
        TakeWhole(false);
        return false;
      }
      return TakeEnd("the connection was closed");
    case Io::kFailed:
      return TakeEnd(transport_.failure());
  }
  return false;
}

bool Exchange::TakeBytes(std::string_view data) {
  // Left over from an earlier exchange, say a 408 for having been idle: an answer to this request it cannot be.
  if (!AnythingSent()) return EndUnanswered(ForwardEnd::kNotSent, "the application spoke before it was asked");
  while (true) {
    switch (phase_) {
      case Phase::kHead:
        if (!TakeHead(&data)) return false;
        if (phase_ == Phase::kHead && data.empty()) return true;
        break;
      case Phase::kBody:
        if (!TakeBody(&data)) return false;
        if (phase_ == Phase::kBody) return true;
        break;
      case Phase::kWhole:
        TakeWhole(!data.empty());
        return false;
    }
  }
}

// Eats one head, interim or final, or all of `*rest` if that is not enough for one.
bool Exchange::TakeHead(std::string_view* rest) {
  const size_t known = head_bytes_.size();
  // The usual answer's head comes at once and is parsed where it lies.
  std::string_view input = *rest;
  if (known > 0) input = head_bytes_.append(*rest);
  http::ResponseHead head;
  switch (parser_.ParseResponse(input, request_.method, &head)) {
    case http::ParseState::kNeedMore:
      if (known == 0) head_bytes_ = *rest;
      *rest = {};
      return true;
    case http::ParseState::kError:
      return EndUnanswered(ForwardEnd::kBroken, "the answer is not proper HTTP: " + parser_.error().detail);
    case http::ParseState::kDone:
      break;
  }
  rest->remove_prefix(parser_.consumed() - known);
  head_bytes_.clear();
  parser_ = http::HeadParser();
  if (head.status == 101) {
    return EndUnanswered(ForwardEnd::kBroken, "the answer switches protocols, which was not asked for");
  }
  if (head.status >= 200) return TakeFinalHead(std::move(head));
  if (++interim_heads_ > kInterimHeadsMax) return EndUnanswered(ForwardEnd::kBroken, "too many interim answers came");
  return true;
}

bool Exchange::TakeFinalHead(http::ResponseHead head) {
  keep_alive_ = head.keep_alive;
  body_ = http::BodyReader(head.framing, head.content_length);
  phase_ = body_.done() ? Phase::kWhole : Phase::kBody;
  if (!receiver_.OnHead(std::move(head))) return End(ForwardEnd::kStopped, "the receiver wanted no answer");
  return true;
}

bool Exchange::TakeBody(std::string_view* rest) {
  decoded_.clear();
  size_t used = 0;
  const http::ParseState state = body_.Read(*rest, &used, &decoded_);
  rest->remove_prefix(used);
  if (!decoded_.empty() && !receiver_.OnBody(decoded_)) {
    return End(ForwardEnd::kStopped, "the receiver wanted no more of the answer");
  }
  if (state == http::ParseState::kError) {
    return EndUnanswered(ForwardEnd::kBroken, "the answer's body is malformed: " + body_.error().detail);
  }
  if (state == http::ParseState::kDone) phase_ = Phase::kWhole;
  return true;
}

bool Exchange::TakeEnd(std::string_view reason) {
  const std::string_view when = phase_ == Phase::kHead ? "before an answer came" : "in the middle of the answer";
  return EndUnanswered(ForwardEnd::kBroken,
                       "the connection was lost " + std::string(when) + ": " + std::string(reason));
}

void Exchange::TakeWhole(bool bytes_follow) {
  // An answer to half a request counts, but the other half is owed to the connection, so that it ends.
  const bool all_written = written_ == request_.head.size() + request_.body.size();
  reusable_ = keep_alive_ && all_written && !bytes_follow && !transport_.HasBuffered();
  End(ForwardEnd::kAnswered, "");
}

bool Exchange::End(ForwardEnd end, std::string detail) {
  result_.end = end;
  result_.detail = std::move(detail);
  return false;
}

bool Exchange::EndUnanswered(ForwardEnd sent, std::string detail) {
  return End(AnythingSent() ? sent : ForwardEnd::kNotSent, std::move(detail));
}

}  // namespace oncegate::upstream

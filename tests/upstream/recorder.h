#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "upstream/upstream.h"

namespace oncegate {

// Writes down what it is given; can be told to stop.
class Recorder final : public ResponseReceiver {
 public:
  bool OnHead(http::ResponseHead head) override {
    ++heads;
    status = head.status;
    last_head = std::move(head);
    return !stop_at_head;
  }
  bool OnBody(std::string_view data) override {
    body += data;
    return body.size() < stop_after_bytes;
  }
  [[nodiscard]] bool MayWait() const override { return body.size() >= may_wait_from_bytes; }

  int heads = 0;
  int status = 0;
  http::ResponseHead last_head;
  std::string body;
  bool stop_at_head = false;
  size_t stop_after_bytes = SIZE_MAX;
  size_t may_wait_from_bytes = SIZE_MAX;
};

// A POST with that body, or another method without one. The body must outlive it.
inline OutboundRequest MakeRequest(std::string_view body = "", std::string method = "POST") {
  OutboundRequest request;
  request.head = method + " /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  request.method = std::move(method);
  request.body = body;
  request.total_timeout_ms = 10'000;
  request.idle_timeout_ms = 10'000;
  return request;
}

inline void PrintTo(ForwardEnd end, std::ostream* out) {
  switch (end) {
    case ForwardEnd::kAnswered:
      *out << "answered";
      return;
    case ForwardEnd::kNotSent:
      *out << "not sent";
      return;
    case ForwardEnd::kTimedOut:
      *out << "timed out";
      return;
    case ForwardEnd::kBroken:
      *out << "broken";
      return;
    case ForwardEnd::kStopped:
      *out << "stopped";
      return;
  }
}

}  // namespace oncegate

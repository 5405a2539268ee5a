// What the workers do: they wait for bytes, read, have requests answered, and write.

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <utility>

#include "base/thread_name.h"
#include "control/connection.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;
using http::Framing;
using http::ParseState;

constexpr int64_t kLingerMs = 1000;
constexpr size_t kReadBytes = 16 * 1024;
// What one turn reads at most, so that one client that sends without end does not hold a worker; and what is held of it
// and not understood yet.
constexpr size_t kTurnBytesMax = 256 * 1024;
// Larger requests hold a worker until they are answered, so that those of all connections do not wait in memory.
constexpr size_t kLaterBodyBytesMax = 64 * 1024;

// Whether the other end of a socket has closed it, or its own sending side.
bool IsClosedByPeer(int fd) {
  pollfd look{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

http::Error MakeError(ErrorCode code, std::string detail) {
  return {.code = code, .detail = std::move(detail), .retry_after_s = {}, .status = {}};
}

http::Error TooLarge(size_t bytes_max) {
  return MakeError(ErrorCode::kBodyTooLarge,
                   "The body of this request may have at most " + std::to_string(bytes_max >> 20) + " MiB.");
}

// Requests of these methods have no body with a meaning, and bodies that nobody reads have become the next request in
// too many servers.
bool MayHaveBody(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

thread_local Seats::Seat* seat_of_this_thread = nullptr;

}  // namespace

void Listener::AboutToWait() {
  if (seat_of_this_thread != nullptr) seat_of_this_thread->Leave();
}

// The next connection with bytes, or whose client has closed. Null: the listener stops, and nothing is left of what had
// come by then: epoll goes round what is ready, so that between two events to stop there were all others.
Listener::ConnectionPtr Listener::AwaitConnection() {
  bool told_to_stop = false;
  while (true) {
    epoll_event event{};
    if (epoll_wait(work_fd_, &event, 1, -1) != 1) continue;
    if (event.data.fd == stop_fd_) {
      if (std::exchange(told_to_stop, true)) return nullptr;
    } else if (ConnectionPtr connection = TakeParked(event.data.fd)) {
      return connection;
    }
  }
}

void Listener::Work(size_t worker) {
  NameThisThread("control worker");
  Seats::Seat seat(seats_);
  seat_of_this_thread = &seat;
  for (;;) {
    seat.Take();
    ConnectionPtr connection = AwaitConnection();
    if (connection == nullptr) break;
    const Next next = Serve(connection, worker);
    if (connection != nullptr) GoOn(std::move(connection), next);
  }
  seat_of_this_thread = nullptr;
}

void Listener::GoOn(ConnectionPtr connection, Next next) {
  if (next == Next::kStream && BeginStream(connection)) return;
  // When all is to stop, those are still served that have sent something or are owed something.
  if (next == Next::kPark && (!stopping_.load() || !connection->idle())) return Park(std::move(connection));
  connection.reset();
  const std::lock_guard lock(mutex_);
  --connections_;
}

// One turn: reads what is there, answers the requests that are whole.
Listener::Next Listener::Serve(ConnectionPtr& served, size_t worker) {
  Connection& connection = *served;
  const bool was_idle = connection.idle();
  if (!ReadAvailable(connection)) return Next::kClose;
  if (connection.lingering) {
    connection.input.clear();
    return connection.at_end ? Next::kClose : Next::kPark;
  }
  // Bytes of a handshake buy no more time: only its end and those of a request do.
  if (connection.tls != nullptr && !connection.shaken && connection.tls->established()) {
    connection.shaken = true;
    connection.deadline_ms = clock_.SteadyMs() + options_.idle_timeout_ms;
  }
  if (was_idle && !connection.idle()) connection.deadline_ms = clock_.SteadyMs() + options_.request_timeout_ms;
  if (!connection.owed.empty()) {
    const Next owed = PayOwed(connection);
    if (owed != Next::kPark || connection.lingering || !connection.owed.empty()) return owed;
  }
  Next next = Next::kPark;
  for (bool again = connection.asks_again; again || TakeRequest(connection, &next); again = false) {
    connection.asks_again = false;
    if (!again) {
      connection.asked = std::exchange(connection.request, std::nullopt);
      connection.asked->client_ip = connection.client_ip;
      connection.asked->client_gone = [fd = connection.fd] { return IsClosedByPeer(fd); };
      connection.parser = {};
    }
    const bool keep_alive = connection.asked->head.keep_alive && !connection.at_end;
    connection.stream_generation = stream_generation_.load();
    const bool may_come_later = !again && connection.asked->body.size() <= kLaterBodyBytesMax;
    Answered answered = responder_->Answer(*connection.asked, keep_alive, worker, may_come_later);
    if (answered.later) {
      // Behind a shared pointer only because functions have to be copyable.
      const auto waiting = std::make_shared<ConnectionPtr>(std::move(served));
      answered.later([this, waiting, keep_alive](std::optional<std::string> bytes) {
        AnswerLater(std::move(*waiting), keep_alive, std::move(bytes));
      });
      return Next::kPark;
    }
    connection.asked.reset();
    if (answered.stream != nullptr) answered.bytes += answered.stream->Take();
    if (!Send(connection, answered.bytes)) return Next::kClose;
    connection.stream = std::move(answered.stream);
    if (connection.stream != nullptr) return connection.at_end ? Next::kClose : Next::kStream;
    if (const Next after = AfterAnswer(connection, keep_alive); after != Next::kPark || connection.lingering)
      return after;
  }
  return next == Next::kPark && connection.at_end ? Next::kClose : next;
}

// On whoever's thread, so that nothing here waits for the client.
void Listener::AnswerLater(ConnectionPtr answered, bool keep_alive, std::optional<std::string> bytes) {
  Connection& connection = *answered;
  connection.deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  connection.asks_again = !bytes;
  if (!bytes) return GoOn(std::move(answered), Next::kPark);
  connection.asked.reset();
  connection.owed = *std::move(bytes);
  connection.owed_keep_alive = keep_alive;
  const Next next = PayOwed(connection);
  // What it has sent already, the kernel does not speak of again.
  connection.more_to_read = connection.more_to_read || !connection.input.empty();
  GoOn(std::move(answered), next);
}

// Sends what the client takes now; some may be left then.
Listener::Next Listener::PayOwed(Connection& connection) {
  std::string_view unsent = connection.owed;
  tls::IoResult result{tls::Io::kProgress};
  while (!unsent.empty() && result.io == tls::Io::kProgress) {
    result = connection.Write(unsent);
    unsent.remove_prefix(result.bytes);
  }
  if (result.io != tls::Io::kProgress && result.io != tls::Io::kBlocked) return Next::kClose;
  connection.owed.erase(0, connection.owed.size() - unsent.size());
  return connection.owed.empty() ? AfterAnswer(connection, connection.owed_keep_alive) : Next::kPark;
}

Listener::Next Listener::AfterAnswer(Connection& connection, bool keep_alive) {
  if (!keep_alive) return Linger(connection);
  const int64_t now_ms = clock_.SteadyMs();
  connection.deadline_ms = now_ms + (connection.idle() ? options_.idle_timeout_ms : options_.request_timeout_ms);
  return Next::kPark;
}

bool Listener::TakeRequest(Connection& connection, Next* next) {
  if (!connection.request && !TakeHead(connection, next)) return false;
  std::string& body = connection.request->body;
  size_t used = 0;
  const ParseState state = connection.body.Read(connection.input, &used, &body);
  connection.input.erase(0, used);
  if (state == ParseState::kError) {
    *next = Refuse(connection, connection.body.error());
  } else if (body.size() > connection.body_bytes_max) {
    *next = Refuse(connection, TooLarge(connection.body_bytes_max));
  } else if (!TakeMemory(connection)) {
    http::Error error = MakeError(ErrorCode::kOverloaded, "Too many large requests are in flight.");
    error.retry_after_s = 1;
    *next = Refuse(connection, error);
  } else {
    return state == ParseState::kDone;
  }
  return false;
}

// Only what has arrived counts, and of that only what is beyond what every request may have.
bool Listener::TakeMemory(Connection& connection) {
  WholeRequest& request = *connection.request;
  if (request.body.size() <= kBodyBytesMax) return true;
  if (!request.memory) request.memory.emplace(large_bodies_);
  return request.memory->GrowTo(static_cast<int64_t>(request.body.size()));
}

bool Listener::TakeHead(Connection& connection, Next* next) {
  WholeRequest request;
  const ParseState state = connection.parser.ParseRequest(connection.input, &request.head);
  if (state == ParseState::kNeedMore) return false;
  if (state == ParseState::kError) {
    *next = Refuse(connection, connection.parser.error());
    return false;
  }
  const http::RequestHead& head = request.head;
  connection.input.erase(0, connection.parser.consumed());
  const bool has_body = head.framing == Framing::kChunked || head.content_length > 0;
  if (has_body && !MayHaveBody(head.method)) {
    *next = Refuse(connection, MakeError(ErrorCode::kBadRequest, "A " + head.method + " has no body here."));
    return false;
  }
  connection.body_bytes_max = has_body ? responder_->BodyBytesMax(head) : 0;
  if (head.content_length > connection.body_bytes_max) {
    *next = Refuse(connection, TooLarge(connection.body_bytes_max));
    return false;
  }
  if (head.expect_continue && has_body && connection.input.empty() &&
      !Send(connection, "HTTP/1.1 100 Continue\r\n\r\n")) {
    *next = Next::kClose;
    return false;
  }
  connection.body = http::BodyReader(head.framing, head.content_length);
  connection.request = std::move(request);
  return true;
}

bool Listener::ReadAvailable(Connection& connection) {
  std::array<char, kReadBytes> bytes;
  connection.more_to_read = false;
  for (size_t total = 0; total < kTurnBytesMax && connection.input.size() < kTurnBytesMax;) {
    const tls::IoResult result = connection.Read(bytes.data(), bytes.size());
    if (result.io != tls::Io::kProgress) {
      connection.at_end = connection.at_end || result.io == tls::Io::kClosed;
      connection.more_to_read = connection.tls != nullptr && !connection.lingering && connection.tls->HasMore();
      return result.io != tls::Io::kFailed;
    }
    connection.input.append(bytes.data(), result.bytes);
    total += result.bytes;
  }
  connection.more_to_read = connection.tls != nullptr && !connection.lingering;
  return true;
}

bool Listener::Send(Connection& connection, std::string_view bytes) {
  const int64_t deadline_ms = clock_.SteadyMs() + options_.send_timeout_ms;
  while (!bytes.empty()) {
    const tls::IoResult result = connection.Write(bytes);
    if (result.io == tls::Io::kProgress) {
      bytes.remove_prefix(result.bytes);
      continue;
    }
    if (result.io != tls::Io::kBlocked) return false;
    const int64_t left_ms = deadline_ms - clock_.SteadyMs();
    const bool awaits_bytes = connection.tls != nullptr && !connection.tls->wants_write();
    pollfd wait{.fd = connection.fd, .events = static_cast<int16_t>(awaits_bytes ? POLLIN : POLLOUT), .revents = 0};
    AboutToWait();
    if (left_ms <= 0 || poll(&wait, 1, static_cast<int>(left_ms)) == 0) return false;
  }
  return true;
}

Listener::Next Listener::Refuse(Connection& connection, const http::Error& error) {
  connection.request.reset();  // others need its memory more
  return Send(connection, responder_->Refuse(error)) ? Linger(connection) : Next::kClose;
}

// Closing a socket with unread bytes resets it, and the client would lose the answer: the rest is read for a while.
Listener::Next Listener::Linger(Connection& connection) {
  if (connection.tls != nullptr) {
    connection.tls->CloseSending();
  } else {
    shutdown(connection.fd, SHUT_WR);
  }
  connection.input.clear();
  if (connection.at_end) return Next::kClose;
  connection.lingering = true;
  connection.deadline_ms = clock_.SteadyMs() + kLingerMs;
  return Next::kPark;
}

}  // namespace oncegate::control

#include "ingress/connection.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "gateway/messages.h"
#include "http/writer.h"

namespace oncegate {
namespace {

using http::ErrorCode;
using http::ParseState;
using tls::Io;

constexpr size_t kPiecesAtOnce = 16;
constexpr int64_t kBudgetStep = 64 * 1024;
constexpr size_t kDeferredBytesMax = 16 * 1024;  // answers up to here are sent once the loop has read from all
constexpr size_t kReserveBytesMax = 64 * 1024;   // a sender's word on its body's length is believed up to here

http::Error LimitError(int64_t wait_ms) {
  return {.code = ErrorCode::kRateLimited,
          .detail = "This address sends more requests than it may.",
          .retry_after_s = static_cast<int>((wait_ms + 999) / 1000)};
}

}  // namespace

void Reading::Restart() {
  input.erase(0, used);
  used = 0;
  head_done = false;
  limited_ms = 0;
  parser.Restart();
  body_reader = {};
  // What it keeps is not in the budget of bytes, and may go to a connection that sends nothing more.
  if (body.capacity() > kKeptBytesMax)
    std::string().swap(body);
  else
    body.clear();
}

Connection::Connection(Accepted accepted, std::unique_ptr<tls::ServerStream> tls, uint64_t id, LoopServices& services)
    : services_(services),
      socket_(std::move(accepted.fd), std::move(tls)),
      id_(id),
      peer_(accepted.peer),
      peer_ip_(peer_.Text()),
      peer_trusted_(ContainsAddress(services.options.trusted_proxies, peer_)),
      state_(socket_.encrypted() ? State::kHandshaking : State::kReading),
      memory_(services.parts.memory),
      unsent_memory_(services.parts.memory) {}

Connection::~Connection() {
  if (channel_) channel_->Close();
}

Awaits Connection::awaits() const {
  if (state_ == State::kHandshaking) return Awaits::kHandshake;
  if (state_ == State::kLingering) return Awaits::kClientCloses;
  if (!unsent_.empty()) return Awaits::kClientReads;
  if (state_ != State::kReading) return Awaits::kGateway;
  return Rest().empty() && (reading_ == nullptr || !reading_->head_done) ? Awaits::kNextRequest
                                                                         : Awaits::kRestOfRequest;
}

bool Connection::OnReady(bool readable, bool hang_up) {
  more_to_read_ = more_to_read_ || readable || hang_up || read_awaits_room_;
  read_awaits_room_ = false;
  read_to_end_ = read_to_end_ || hang_up;
  if (state_ != State::kHandshaking) return Advance(Sending::kOnTurn);
  // A step with nothing to read would only take memory.
  wants_turn_ = wants_turn_ || more_to_read_ || socket_.AwaitsRoom();
  return true;
}

bool Connection::OnTurn() {
  if (state_ != State::kHandshaking) return Advance();
  wants_turn_ = false;
  return ShakeHands();
}

// One step, however little it is: each may cost a private-key operation. False if the connection is broken.
bool Connection::ShakeHands() {
  more_to_read_ = false;
  switch (socket_.Handshake().io) {
    case Io::kBlocked:
      wants_turn_ = socket_.HandshakeHasMore();
      return true;
    case Io::kProgress:
      state_ = State::kReading;
      more_to_read_ = true;
      return Advance();
    case Io::kClosed:
    case Io::kFailed:
      break;
  }
  if (socket_.SpeaksPlainHttp()) {
    socket_.DropTls();
    Fail({.code = ErrorCode::kBadRequest, .detail = "This port speaks HTTPS, and the request came in plain text."});
    return Advance();
  }
  services_.parts.logger.Log(LogLevel::kDebug, LogEvent::kWarning, "a TLS handshake failed",
                             {{"client", peer_ip_}, {"reason", socket_.handshake_failure()}});
  return false;
}

bool Connection::OnStopping() {
  if (handshaking()) return false;
  return awaits() != Awaits::kNextRequest || End();
}

bool Connection::OnDeadline() {
  if (awaits() == Awaits::kNextRequest) return End();
  if (awaits() != Awaits::kRestOfRequest) return false;
  Fail({.code = ErrorCode::kRequestTimeout, .detail = "The request did not arrive in time."});
  return Advance();
}

bool Connection::OnMessage(LoopMessage message) {
  if (auto* whole = std::get_if<WholeReply>(&message.what)) {
    TakeReply(std::move(whole->reply));
  } else if (auto* begin = std::get_if<ReplyBegin>(&message.what)) {
    TakeBegin(std::move(*begin));
  } else if (auto* data = std::get_if<ReplyData>(&message.what)) {
    TakeData(data->data);
  } else if (auto* end = std::get_if<ReplyEnd>(&message.what)) {
    TakeEnd(end->whole);
  }
  return Advance();
}

// Does whatever can be done now, until the client or the gateway has to do something first, or others have to have
// their turn: one busy sender must not keep a loop.
bool Connection::Advance(Sending small_answers) {
  wants_turn_ = false;
  size_t reads = 0;
  size_t requests = 0;
  for (;;) {
    if (!Flush()) return false;
    if (state_ == State::kLingering) return Drain();
    wants_turn_ = reads >= kTurnReads || requests >= kTurnRequests;
    if (wants_turn_) return true;
    const size_t before = requests;
    while (requests < kTurnRequests && state_ == State::kReading && unsent_bytes_ < kUnsentBytesMax && TakeRequest())
      ++requests;
    if (requests > before) {
      // Reading from all that are ready and then answering them takes less time than doing it one by one.
      wants_turn_ = small_answers == Sending::kOnTurn && !unsent_.empty() && unsent_bytes_ <= kDeferredBytesMax;
      if (wants_turn_) return true;
      continue;
    }
    if (!more_to_read_ || !WantsInput()) break;
    if (!Fill()) return false;
    ++reads;
  }
  // A client that sends no more gets the answers it is owed.
  if (client_closed_ && state_ == State::kReading) {
    if (unsent_.empty()) return End();
    if (unsent_bytes_ < kUnsentBytesMax) state_ = State::kClosing;
  }
  return true;
}

bool Connection::WantsInput() const {
  switch (state_) {
    case State::kReading:
      return unsent_bytes_ < kUnsentBytesMax;
    case State::kBusy:
    case State::kStreaming:
      return Rest().size() < kPipelinedBytesMax;
    case State::kHandshaking:
    case State::kClosing:
    case State::kLingering:
      break;
  }
  return false;
}

// One read. False if the connection is broken.
bool Connection::Fill() {
  bool more = false;
  const tls::IoResult result = socket_.Read(services_.scratch, &more);
  more_to_read_ = more || (result.io == Io::kProgress && read_to_end_);
  switch (result.io) {
    case Io::kProgress:
      if (reading_ == nullptr)
        reading_ = services_.spare != nullptr ? std::move(services_.spare) : std::make_unique<Reading>();
      reading_->input.erase(0, reading_->used);
      reading_->used = 0;
      reading_->input.append(services_.scratch.data(), result.bytes);
      return true;
    case Io::kBlocked:
      read_awaits_room_ = socket_.AwaitsRoom();
      return true;
    case Io::kClosed:
      client_closed_ = true;
      read_to_end_ = false;
      if (channel_) channel_->client_gone = true;
      return true;
    case Io::kFailed:
      break;
  }
  return false;
}

// Reads and drops what comes until the client closes, so that it can read the answer before a reset reaches it.
bool Connection::Drain() {
  while (lingered_bytes_ < kLingerBytesMax) {
    const tls::IoResult result = socket_.Discard(services_.scratch);
    if (result.io != Io::kProgress) return result.io == Io::kBlocked;
    lingered_bytes_ += result.bytes;
  }
  return false;
}

// Sends what is unsent as far as the kernel takes it. False if the connection is over.
bool Connection::Flush() {
  while (!unsent_.empty()) {
    std::array<iovec, kPiecesAtOnce> vectors{};
    size_t count = 0;
    for (auto piece = unsent_.begin(); piece != unsent_.end() && count < kPiecesAtOnce; ++piece, ++count) {
      const size_t skip = count == 0 ? unsent_offset_ : 0;
      vectors[count] = {piece->bytes.data() + skip, piece->bytes.size() - skip};
    }
    const tls::IoResult result = socket_.Write({vectors.data(), count}, services_.scratch);
    // A client that is slow to read must not cost more memory than all connections together may have.
    if (result.io != Io::kProgress)
      return result.io == Io::kBlocked && unsent_memory_.GrowTo(static_cast<int64_t>(unsent_bytes_));
    Sent(result.bytes);
  }
  unsent_memory_.Clear();
  if (state_ != State::kClosing) return true;
  if (client_closed_) return End();
  socket_.CloseSending();
  state_ = State::kLingering;
  return true;
}

// The connection is over. TLS says so: without it the client could not tell the end from one that an attacker made.
bool Connection::End() {
  if (socket_.encrypted() && !broken_off_) socket_.CloseSending();
  return false;
}

// The kernel took that many of the unsent bytes.
void Connection::Sent(size_t bytes) {
  sent_bytes_ += bytes;
  if (sent_bytes_ >= kWriteProgressBytes) {
    sent_bytes_ = 0;
    ++progress_;
  }
  unsent_bytes_ -= bytes;
  unsent_offset_ += bytes;
  while (!unsent_.empty() && unsent_offset_ >= unsent_.front().bytes.size()) {
    unsent_offset_ -= unsent_.front().bytes.size();
    if (unsent_.front().streamed > 0 && channel_) channel_->Taken(unsent_.front().streamed);
    unsent_.pop_front();
  }
}

// Takes what is there of the next request. True if that was something: a request, an error, a 100 to be sent.
bool Connection::TakeRequest() {
  if (reading_ == nullptr) return false;
  Reading& reading = *reading_;
  if (!reading.head_done) {
    if (reading.Rest().empty()) return false;
    switch (reading.parser.ParseRequest(reading.Rest(), &reading.head)) {
      case ParseState::kNeedMore:
        return false;
      case ParseState::kError:
        Fail(reading.parser.error());
        return true;
      case ParseState::kDone:
        break;
    }
    reading.used += reading.parser.consumed();
    reading.head_done = true;
    if (BeginBody()) return true;
  }
  switch (ReadBody()) {
    case ParseState::kNeedMore:
      if (reading.limited_ms == 0) return false;
      Fail(LimitError(reading.limited_ms));  // without reading the rest
      break;
    case ParseState::kError:
      break;
    case ParseState::kDone:
      if (reading.limited_ms != 0) {
        RefuseLimited();
      } else {
        Dispatch();
      }
      break;
  }
  return true;
}

// The head is known: is there room for the body? True if there is something to be sent first.
bool Connection::BeginBody() {
  Reading& reading = *reading_;
  const http::RequestHead& head = reading.head;
  reading.client = peer_trusted_ ? ClientBehind(peer_, head.fields, services_.options.trusted_proxies) : peer_;
  reading.limited_ms = services_.limiter == nullptr ? 0 : services_.limiter->Take(reading.client, services_.now_ms);
  if (head.content_length > static_cast<uint64_t>(services_.options.max_body)) {
    FailTooLarge();
    return true;
  }
  reading.body_reader = http::BodyReader(head.framing, head.content_length);
  reading.body.reserve(std::min<size_t>(head.content_length, kReserveBytesMax));
  if (!head.expect_continue || reading.limited_ms != 0 || !reading.Rest().empty() || reading.body_reader.done())
    return false;
  Queue("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

ParseState Connection::ReadBody() {
  Reading& reading = *reading_;
  size_t used = 0;
  const ParseState state = reading.body_reader.Read(reading.Rest(), &used, &reading.body);
  reading.used += used;
  if (state == ParseState::kError) {
    Fail(reading.body_reader.error());
    return state;
  }
  if (static_cast<int64_t>(reading.body.size()) > services_.options.max_body) {
    FailTooLarge();
    return ParseState::kError;
  }
  return state == ParseState::kDone || TakeMemory() ? state : ParseState::kError;
}

// For what has arrived of the body: a sender's word on the rest costs it nothing. False: there is none, and the request
// is refused.
bool Connection::TakeMemory() {
  const auto size = static_cast<int64_t>(reading_->body.size());
  if (memory_.GrowTo((size + kBudgetStep - 1) / kBudgetStep * kBudgetStep)) return true;
  Fail({.code = ErrorCode::kOverloaded, .detail = "Too many bytes are in flight.", .retry_after_s = 1});
  return false;
}

// As far as it is known: only a whole head says who stands behind a proxy.
std::string Connection::ClientIp() const {
  return reading_ == nullptr || !reading_->head_done || reading_->client == peer_ ? peer_ip_ : reading_->client.Text();
}

// Hands the request over and makes room for the next one.
InboundRequest Connection::TakeWhole() {
  BeginAnswer();
  InboundRequest request{.head = std::exchange(reading_->head, {}),
                         .body = std::exchange(reading_->body, {}),
                         .client_ip = ClientIp(),
                         .tls = false,
                         .arrived_ms = services_.now_ms,
                         .memory = std::exchange(memory_, BudgetShare(services_.parts.memory)),
                         .proxy_ip = peer_trusted_ ? peer_ip_ : std::string()};
  request.tls = CameOverTls(request.head.fields);
  EndRequest();
  state_ = State::kBusy;
  return request;
}

// Notes what the answer has to know of the request.
void Connection::BeginAnswer() {
  ++services_.turn_requests;
  version_ = reading_->head.version;
  keep_alive_ = reading_->head.keep_alive;
  is_head_ = reading_->head.method == "HEAD";
}

void Connection::EndRequest() {
  if (reading_->Rest().empty()) return DropReading();
  reading_->Restart();
}

// Another connection may go on with it, unless it has become large.
void Connection::DropReading() {
  std::unique_ptr<Reading> reading = std::move(reading_);
  if (services_.spare != nullptr || reading->input.capacity() > kKeptBytesMax) return;
  reading->used = reading->input.size();
  reading->Restart();
  services_.spare = std::move(reading);
}

// A trusted proxy knows how the client came to it.
bool Connection::CameOverTls(const http::Fields& fields) const {
  const auto said =
      peer_trusted_ ? ClientUsedTls(reading_->client, fields, services_.options.trusted_proxies) : std::nullopt;
  return said.value_or(socket_.encrypted());
}

// A retry whose outcome is in memory is answered here and now; all else goes to the gateway.
void Connection::Dispatch() {
  Gateway& gateway = services_.parts.gateway;
  std::optional<Gateway::Sighting> seen;
  const std::string behind = reading_->client == peer_ ? std::string() : reading_->client.Text();
  const RequestView view{
      .head = reading_->head, .body = reading_->body, .client_ip = behind.empty() ? peer_ip_ : behind};
  if (const auto outcome = gateway.TryReplay(view, &seen)) return SendReplay(*outcome->record.response);
  if (!TakeMemory()) return;
  InboundRequest request = TakeWhole();
  channel_ = std::make_shared<ChannelState>(services_.parts.memory);
  channel_->client_gone = client_closed_;
  const LoopChannel::DispatchScope scope(this, channel_.get());
  gateway.Handle(std::move(request), std::make_unique<LoopChannel>(services_.mailbox, id_, channel_), std::move(seen));
}

void Connection::SendReplay(const StoredResponse& response) {
  BeginAnswer();
  EndRequest();
  memory_.Clear();
  const bool has_body = !is_head_ && !http::StatusHasNoBody(response.status);
  const std::string_view body = has_body ? std::string_view(response.body) : std::string_view();
  const std::string_view connection = ConnectionFields();
  std::string bytes;
  bytes.reserve(response.head.size() + ReplayFields().size() + connection.size() + 2 + body.size());
  bytes.append(response.head).append(ReplayFields()).append(connection).append("\r\n").append(body);
  Queue(std::move(bytes));
  EndAnswer();
}

// The request is whole, so that the connection can go on after the refusal.
void Connection::RefuseLimited() {
  const http::Error error = LimitError(reading_->limited_ms);
  services_.parts.gateway.CountRefusal(error.code, ClientIp());
  TakeWhole();
  TakeReply(ProblemReply(error));
}

// Answers what cannot be served, and closes: what follows in the stream cannot be trusted to be a request.
void Connection::Fail(const http::Error& error) {
  services_.parts.gateway.CountRefusal(error.code, ClientIp());
  Reply reply = ProblemReply(error);
  Queue(std::move(reply.head) + "Connection: close\r\n\r\n" + reply.body);
  state_ = State::kClosing;
  memory_.Clear();
  reading_.reset();
}

void Connection::FailTooLarge() {
  Fail({.code = ErrorCode::kBodyTooLarge,
        .detail = "The body may have at most " + std::to_string(services_.options.max_body) + " bytes."});
}

std::string_view Connection::ConnectionFields() {
  const bool no_more_comes = client_closed_ && Rest().empty();
  keep_alive_ = keep_alive_ && !services_.stopping && !no_more_comes;
  if (!keep_alive_) return "Connection: close\r\n";
  return version_ == http::Version::kHttp10 ? "Connection: keep-alive\r\n" : "";
}

void Connection::TakeReply(Reply reply) {
  if (state_ != State::kBusy) return;
  std::string bytes = std::move(reply.head);
  bytes += ConnectionFields();
  bytes += "\r\n";
  if (is_head_ || http::StatusHasNoBody(reply.status)) reply.body.clear();
  if (reply.body.size() <= kReadBytes) {
    bytes += reply.body;
    Queue(std::move(bytes));
  } else {
    Queue(std::move(bytes));
    Queue(std::move(reply.body));
  }
  EndAnswer();
}

void Connection::TakeBegin(ReplyBegin begin) {
  if (state_ != State::kBusy) return;
  const bool has_body = !is_head_ && !http::StatusHasNoBody(begin.reply.status);
  chunked_ = has_body && !begin.length_known && version_ == http::Version::kHttp11;
  until_close_ = has_body && !begin.length_known && !chunked_;
  if (until_close_) keep_alive_ = false;
  std::string bytes = std::move(begin.reply.head);
  if (chunked_) http::AppendField("Transfer-Encoding", "chunked", &bytes);
  bytes += ConnectionFields();
  bytes += "\r\n";
  Queue(std::move(bytes));
  state_ = State::kStreaming;
}

void Connection::TakeData(const std::string& data) {
  if (state_ != State::kStreaming) return;
  std::string bytes;
  if (chunked_) {
    http::AppendChunk(data, &bytes);
  } else if (!is_head_) {
    bytes = data;
  }
  if (bytes.empty()) {
    channel_->Taken(data.size());
  } else {
    Queue(std::move(bytes), data.size());
  }
}

void Connection::TakeEnd(bool whole) {
  if (state_ != State::kBusy && state_ != State::kStreaming) return;
  if (!whole) {
    // The client must be able to tell that the answer is not complete: no last chunk, and the connection ends.
    state_ = State::kClosing;
    if (until_close_) {
      // Here an orderly end would say that the answer is whole; a reset does not.
      socket_.ResetOnClose();
      broken_off_ = true;
      client_closed_ = true;
      unsent_.clear();
    }
    return;
  }
  if (chunked_) {
    std::string bytes;
    http::AppendLastChunk(&bytes);
    Queue(std::move(bytes));
  }
  EndAnswer();
}

void Connection::EndAnswer() {
  state_ = keep_alive_ ? State::kReading : State::kClosing;
  chunked_ = false;
  until_close_ = false;
  ++progress_;
  for (Piece& piece : unsent_) piece.streamed = 0;
  channel_.reset();
}

void Connection::Queue(std::string bytes, size_t streamed) {
  unsent_bytes_ += bytes.size();
  unsent_.push_back({std::move(bytes), streamed});
}

}  // namespace oncegate

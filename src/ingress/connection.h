#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/byte_budget.h"
#include "core/record.h"
#include "gateway/exchange.h"
#include "http/body.h"
#include "http/head.h"
#include "ingress/client_socket.h"
#include "ingress/ingress.h"
#include "ingress/listener.h"
#include "ingress/loop_channel.h"
#include "ingress/mailbox.h"

namespace oncegate {

inline constexpr size_t kKeptBytesMax = 16 * 1024;       // of a buffer that goes from one request to the next
inline constexpr size_t kReadBytes = 64 * 1024;          // a loop's scratch buffer
inline constexpr size_t kPipelinedBytesMax = 64 * 1024;  // read ahead while a request is being answered
inline constexpr size_t kUnsentBytesMax = 256 * 1024;    // answers waiting for the client before more requests are read
inline constexpr int64_t kWriteStallMs = 30'000;  // a client that takes less than kWriteProgressBytes in this time,
inline constexpr size_t kWriteProgressBytes = 256 * 1024;  // and not all that there is, is cut off
inline constexpr size_t kTurnReads = 8;                    // then other connections of the loop have their turn
inline constexpr size_t kTurnRequests = 64;
inline constexpr int64_t kLingerMs = 2'000;  // how long a closed connection is drained, so that the answer arrives
inline constexpr size_t kLingerBytesMax = 1 << 20;

// What a connection waits for, and so which deadline it is under.
enum class Awaits : uint8_t { kGateway, kHandshake, kNextRequest, kRestOfRequest, kClientReads, kClientCloses, kCount };

// A request that is being read.
struct Reading {
  std::string input;
  size_t used = 0;  // of the input
  bool head_done = false;
  IpAddress client;        // the peer, or who stands behind it
  int64_t limited_ms = 0;  // not 0: it came that much too soon after others of its client
  http::HeadParser parser;
  http::RequestHead head;
  http::BodyReader body_reader;
  std::string body;

  [[nodiscard]] std::string_view Rest() const { return std::string_view(input).substr(used); }
  // For the next request, with what is left of the input.
  void Restart();
};

// What a loop lends to its connections. Used by its thread only, but for the parts that are thread-safe.
struct LoopServices {
  const IngressOptions& options;
  const IngressParts& parts;
  std::shared_ptr<Mailbox> mailbox;
  std::span<char> scratch;
  RateLimiter* limiter = nullptr;  // null: no limit
  int64_t now_ms = 0;              // steady clock, read once a turn of the loop
  size_t turn_requests = 0;        // taken in this turn of the loop, by all connections
  bool stopping = false;           // no further request is taken from connections that are open
  // Goes from connection to connection: a request that comes in one piece allocates nothing to be read. May be null.
  std::unique_ptr<Reading> spare;
};

// One client's connection: reads requests, hands them over one at a time, writes the answers in order. Lives on one
// loop's thread. Methods that return bool return false when the connection is over and is to be destroyed.
class Connection {
 public:
  // `tls` may be null.
  Connection(Accepted accepted, std::unique_ptr<tls::ServerStream> tls, uint64_t id, LoopServices& services);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The kernel has bytes, or room for some. `hang_up`: the client's last bytes are among them.
  bool OnReady(bool readable, bool hang_up);
  bool OnMessage(LoopMessage message);
  // It had its turn and could go on at once; OnTurn is then due once the others had theirs.
  [[nodiscard]] bool wants_turn() const { return wants_turn_; }
  // Its turn would cost a step of a handshake, which is worth dozens of replays.
  [[nodiscard]] bool handshaking() const { return state_ == State::kHandshaking; }
  bool OnTurn();

  // The deadline of what it awaits has passed.
  bool OnDeadline();
  // The process is going down: close now unless an answer is owed.
  bool OnStopping();

  // The answer that comes while the request is being handed over.
  void TakeReply(Reply reply);

  [[nodiscard]] Awaits awaits() const;
  [[nodiscard]] bool HasUnsent() const { return !unsent_.empty(); }
  [[nodiscard]] uint64_t id() const { return id_; }

  // Kept by the loop: where the connection stands in its list of deadlines, and since when.
  struct DeadlineSlot {
    Awaits awaits = Awaits::kCount;
    uint64_t progress = 0;
    int64_t deadline_ms = 0;
    std::list<Connection*>::iterator position;
    bool has_turn_coming = false;
  };
  DeadlineSlot deadline;
  // Grows whenever the deadline has to start anew (a request is complete, bytes were taken).
  [[nodiscard]] uint64_t progress() const { return progress_; }

 private:
  enum class State : uint8_t {
    kHandshaking,
    kReading,    // of the next request
    kBusy,       // the gateway has the request
    kStreaming,  // its answer is coming in pieces
    kClosing,    // what is unsent goes out, then the sending side is closed
    kLingering,  // waiting for the client to close
  };
  struct Piece {
    std::string bytes;
    size_t streamed = 0;  // of these, how many count against the stream's bound
  };

  enum class Sending : uint8_t { kNow, kOnTurn };
  bool Advance(Sending small_answers = Sending::kNow);
  bool ShakeHands();
  bool Fill();
  bool Drain();
  bool Flush();
  bool End();
  void Sent(size_t bytes);
  bool TakeRequest();
  bool BeginBody();
  http::ParseState ReadBody();
  bool TakeMemory();
  InboundRequest TakeWhole();
  void BeginAnswer();
  void EndRequest();
  void DropReading();
  [[nodiscard]] std::string ClientIp() const;
  void Dispatch();
  void SendReplay(const StoredResponse& response);
  void RefuseLimited();
  [[nodiscard]] bool CameOverTls(const http::Fields& fields) const;
  void Fail(const http::Error& error);
  void FailTooLarge();
  void TakeBegin(ReplyBegin begin);
  void TakeData(const std::string& data);
  void TakeEnd(bool whole);
  void EndAnswer();
  void Queue(std::string bytes, size_t streamed = 0);
  [[nodiscard]] bool WantsInput() const;
  [[nodiscard]] std::string_view ConnectionFields();
  [[nodiscard]] std::string_view Rest() const { return reading_ == nullptr ? std::string_view() : reading_->Rest(); }

  LoopServices& services_;
  ClientSocket socket_;
  const uint64_t id_;
  const IpAddress peer_;
  const std::string peer_ip_;
  const bool peer_trusted_;  // a proxy whose word on its clients is believed
  State state_ = State::kReading;
  bool client_closed_ = false;     // it will send no more
  bool more_to_read_ = false;      // the kernel may hold bytes that were not read
  bool read_to_end_ = false;       // a short read does not mean that nothing is left: the end of the stream is
  bool read_awaits_room_ = false;  // TLS has to send something before it reads on
  bool wants_turn_ = false;
  bool broken_off_ = false;  // the client must not take the end for an orderly one
  uint64_t progress_ = 0;

  std::unique_ptr<Reading> reading_;  // null: nothing has come of a request yet
  BudgetShare memory_;                // of the request that is being read

  // The request that is being answered.
  std::shared_ptr<ChannelState> channel_;
  http::Version version_ = http::Version::kHttp11;
  bool keep_alive_ = true;
  bool is_head_ = false;
  bool chunked_ = false;
  bool until_close_ = false;

  std::deque<Piece> unsent_;
  size_t unsent_offset_ = 0;  // of the first piece, already taken
  size_t unsent_bytes_ = 0;
  size_t sent_bytes_ = 0;      // since the last progress
  BudgetShare unsent_memory_;  // of what a client is slow to take
  size_t lingered_bytes_ = 0;
};

}  // namespace oncegate

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace oncegate::tls {

// A TLS record's payload: what one Write takes at most.
inline constexpr size_t kRecordBytesMax = 16 * 1024;
// What one call takes from the kernel at most: OpenSSL reads on for as long as what comes is not data.
inline constexpr size_t kCallBytesMax = 64 * 1024;
// Records in a row that may carry no data (new keys, attempts to shake hands anew): each costs work and brings nothing.
inline constexpr int kIdleRecordsMax = 32;
inline constexpr size_t kHelloBytesMax = 16 * 1024;  // a client's first message

enum class Io : uint8_t {
  kProgress,
  kBlocked,  // call again when the socket is readable (or writable, see wants_write)
  kClosed,   // the peer sends no more
  kFailed,   // the connection is of no more use
};

struct IoResult {
  Io io = Io::kFailed;
  size_t bytes = 0;  // of kProgress
};

// The server's end of TLS on a socket that does not block and stays the caller's. One thread at a time.
class ServerStream {
 public:
  // What the streams of one ServerContext share; OpenSSL's objects.
  struct Library;

  // Null if there is no memory.
  static std::unique_ptr<ServerStream> Make(std::shared_ptr<const Library> library, int fd);
  ~ServerStream();
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  // One step of the handshake. kProgress: it is done.
  IoResult Handshake();
  // Shakes hands first, if that has not been done.
  IoResult Read(char* out, size_t size);
  // May take only a part. After kBlocked the next call must offer the same bytes again; more may follow them.
  IoResult Write(std::string_view bytes);
  // Says that nothing more will be sent. Never waits.
  void CloseSending();

  [[nodiscard]] bool established() const;  // the handshake is done
  // Whether the same call may find more although the kernel does not say so again; also where that was kBlocked.
  [[nodiscard]] bool HasMore() const { return has_more_; }
  // Whether the last call was kBlocked and waits for room to send.
  [[nodiscard]] bool wants_write() const { return wants_write_; }
  // The peer began with an HTTP request instead of a handshake.
  [[nodiscard]] bool is_plain_http() const { return is_plain_http_; }
  // Why a call was kFailed, in one phrase.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  struct Session;
  friend struct BioFunctions;

  ServerStream(std::shared_ptr<const Library> library, std::unique_ptr<Session> session, int fd);
  void BeginCall();
  IoResult EndOf(int returned);
  bool TakesStart(std::string_view bytes);
  int Refuse(const char* why);

  const std::shared_ptr<const Library> library_;
  const std::unique_ptr<Session> session_;
  const int fd_;
  size_t call_bytes_left_ = kCallBytesMax;
  std::array<uint8_t, 9> start_{};  // of the stream: a record's head and a handshake message's
  size_t start_size_ = 0;
  int idle_records_ = 0;  // since the last data
  bool drained_ = false;  // the current call took all that the kernel had
  bool has_more_ = false;
  bool ended_ = false;  // the peer sends no more, whether it said so or not
  bool wants_write_ = false;
  bool usable_ = true;  // no fatal error yet: a farewell may be sent
  bool is_plain_http_ = false;
  std::string failure_;
};

}  // namespace oncegate::tls

#include "tests/upstream/scripted_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <utility>

namespace oncegate {
namespace {

class PlainStream final : public ServerStream {
 public:
  explicit PlainStream(int fd) : fd_(fd) {}
  size_t Read(char* out, size_t size) override {
    const ssize_t received = recv(fd_, out, size, 0);
    return received > 0 ? static_cast<size_t>(received) : 0;
  }
  bool Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void Finish() override { shutdown(fd_, SHUT_WR); }

 private:
  int fd_;
};

size_t ContentLength(std::string_view head) {
  constexpr std::string_view kName = "Content-Length: ";
  const size_t at = head.find(kName);
  size_t length = 0;
  if (at != std::string_view::npos) std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  return length;
}

}  // namespace

void Flag::Set() const {
  const std::lock_guard lock(state_->mutex);
  state_->set = true;
  state_->changed.notify_all();
}

void Flag::Await() const {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, std::chrono::milliseconds(ScriptedServer::kPatienceMs),
                           [this] { return state_->set; });
}

Peer::Peer(int fd, std::unique_ptr<ServerStream> stream, std::function<void(std::string)> on_request)
    : fd_(fd), stream_(std::move(stream)), on_request_(std::move(on_request)) {}

Peer::~Peer() {
  if (fd_ >= 0) Close();
}

std::string Peer::ReadHead() {
  std::array<char, 64 * 1024> chunk{};
  while (true) {
    const size_t end = buffer_.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::string head = buffer_.substr(0, end + 4);
      buffer_.erase(0, end + 4);
      return head;
    }
    const size_t received = stream_->Read(chunk.data(), chunk.size());
    if (received == 0) return {};
    buffer_.append(chunk.data(), received);
  }
}

std::string Peer::ReadRequest() {
  std::string request = ReadHead();
  if (request.empty()) return {};
  const size_t length = ContentLength(request);
  std::array<char, 64 * 1024> chunk{};
  while (buffer_.size() < length) {
    const size_t received = stream_->Read(chunk.data(), chunk.size());
    if (received == 0) return {};
    buffer_.append(chunk.data(), received);
  }
  request.append(buffer_, 0, length);
  buffer_.erase(0, length);
  on_request_(request);
  return request;
}

void Peer::Close() {
  stream_->Finish();
  Drop();
}

void Peer::Reset() {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Drop();
}

void Peer::Drop() {
  close(fd_);
  fd_ = -1;
}

void Peer::AwaitClose() {
  std::array<char, 4096> chunk{};
  while (stream_->Read(chunk.data(), chunk.size()) > 0) {
  }
}

void AnswerAll(Peer& peer) {
  while (!peer.ReadRequest().empty()) peer.Send(kShortAnswer);
}

ScriptedServer::ScriptedServer(std::vector<Script> scripts, Wrap wrap)
    : scripts_(std::move(scripts)), wrap_(std::move(wrap)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 128) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { AcceptAll(); });
}

ScriptedServer::~ScriptedServer() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void ScriptedServer::AcceptAll() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const timeval patience = {.tv_sec = kPatienceMs / 1000, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd, number = connections_] { Serve(fd, number); });
    ++connections_;
    changed_.notify_all();
  }
}

void ScriptedServer::Serve(int fd, size_t number) {
  {
    std::unique_ptr<ServerStream> stream = wrap_ ? wrap_(fd) : std::make_unique<PlainStream>(fd);
    if (stream == nullptr) {
      close(fd);
    } else {
      Peer peer(fd, std::move(stream), [this](std::string request) {
        const std::lock_guard lock(mutex_);
        requests_.push_back(std::move(request));
        changed_.notify_all();
      });
      scripts_[std::min(number, scripts_.size() - 1)](peer);
    }
  }
  const std::lock_guard lock(mutex_);
  ++finished_;
  changed_.notify_all();
}

std::vector<std::string> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t ScriptedServer::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

bool ScriptedServer::AwaitRequests(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return requests_.size() >= count; });
}

bool ScriptedServer::AwaitFinishedConnections(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return finished_ >= count; });
}

}  // namespace oncegate

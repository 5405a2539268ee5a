#include "tests/crash/ledger_app.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "tests/support/raw_client.h"

namespace oncegate {
namespace {

constexpr uint64_t kBriefWorkUsMax = 8'000;
// What a listener's queue takes before it refuses more, and how long a connection that is taken takes at most.
constexpr int kQueueMax = 64;
constexpr int kConnectMsMax = 100;

std::string FieldOf(const std::string& request, const std::string& name) {
  const std::string line = "\r\n" + name + ": ";
  const size_t at = request.find(line);
  if (at == std::string::npos || at > request.find("\r\n\r\n")) return {};
  return request.substr(at + line.size(), request.find("\r\n", at + 2) - at - line.size());
}

}  // namespace

LedgerApp::LedgerApp(Ledger& ledger, Work work, uint64_t seed)
    : ledger_(ledger),
      work_(work),
      seed_(seed),
      server_(
          std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[this](Peer& peer) { Serve(peer); }})) {}

LedgerApp::~LedgerApp() {
  OpenGate();
  // Connections are accepted in the order in which they came: when this one is served, all of oncegate's are.
  RawClient last(server_->port());
  last.Send("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  (void)last.AtEnd();
  server_.reset();
}

void LedgerApp::Serve(Peer& peer) {
  for (;;) {
    const std::string request = peer.ReadRequest();
    const std::string key = FieldOf(request, "Oncegate-Key");
    if (key.empty()) return peer.Close();
    const std::string answer = ledger_.Execute(key, std::atoi(FieldOf(request, "Oncegate-Attempt").c_str()));
    DoWork(key);
    if (peer.Send(answer)) ledger_.Answered(key);
  }
}

void LedgerApp::DoWork(const std::string& key) {
  const auto patience = work_ == Work::kBrief
                            ? std::chrono::microseconds(NumberOf(key, seed_, kBriefWorkUsMax))
                            : std::chrono::microseconds(std::chrono::milliseconds(ScriptedServer::kPatienceMs));
  std::unique_lock lock(mutex_);
  opened_.wait_for(lock, patience, [this] { return open_; });
}

void LedgerApp::OpenGate() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  opened_.notify_all();
}

StalledApp::StalledApp() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_, generic, size) != 0 || listen(listener_, 0) != 0 || getsockname(listener_, generic, &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  bool full = false;
  while (!full && queue_.size() < kQueueMax) {
    queue_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(queue_.back(), generic, size);
    pollfd ready{queue_.back(), POLLOUT, 0};
    full = poll(&ready, 1, kConnectMsMax) == 0;
  }
  if (!full) std::abort();
}

StalledApp::~StalledApp() {
  for (const int fd : queue_) close(fd);
  close(listener_);
}

}  // namespace oncegate

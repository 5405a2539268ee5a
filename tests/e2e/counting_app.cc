#include "tests/e2e/counting_app.h"

#include <chrono>

namespace oncegate {
namespace {

std::string FieldOf(const std::string& request, const std::string& name) {
  const std::string line = "\r\n" + name + ": ";
  const size_t at = request.find(line);
  if (at == std::string::npos || at > request.find("\r\n\r\n")) return {};
  return request.substr(at + line.size(), request.find("\r\n", at + 2) - at - line.size());
}

}  // namespace

CountingApp::CountingApp()
    : server_(
          std::make_unique<ScriptedServer>(std::vector<ScriptedServer::Script>{[this](Peer& peer) { Serve(peer); }})) {}

CountingApp::~CountingApp() {
  OpenGate();
  server_.reset();
}

void CountingApp::Serve(Peer& peer) {
  for (;;) {
    const std::string request = peer.ReadRequest();
    if (request.empty()) return;
    WriteDown(request);
    const std::string what = FieldOf(request, "X-Do");
    if (what.find("hold") != std::string::npos) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(ScriptedServer::kPatienceMs), [this] { return open_; });
    }
    if (what.find("hang-up") != std::string::npos) return peer.Close();
    if (what.find("silent") != std::string::npos) return peer.AwaitClose();
    if (what.find("odd") != std::string::npos) {
      const std::string body("\x1f\x8b\x08\0 not really gzip, but nobody may look\0\xff", 44);
      peer.Send(
          "HTTP/1.1 201 Made\r\nX-One: 1\r\nSet-Cookie: a=1\r\nx-two: 2\r\nX-One: 3\r\nContent-Encoding: gzip\r\n"
          "Location: /orders/a%20b?x=%2F\r\nDate: Mon, 23 Nov 2026 21:43:59 GMT\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body);
      continue;
    }
    const size_t status = what.find("status=");
    const std::string code = status == std::string::npos ? "200" : what.substr(status + 7, 3);
    const std::string body = "{\"key\":\"" + FieldOf(request, "Oncegate-Key") + "\"}";
    peer.Send("HTTP/1.1 " + code + " Done\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  }
}

void CountingApp::WriteDown(const std::string& request) {
  const std::lock_guard lock(mutex_);
  const std::string key = FieldOf(request, "Oncegate-Key");
  ++executions_[key];
  requests_[key] = request;
  ++total_;
  changed_.notify_all();
}

int CountingApp::Executions(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return executions_[key];
}

int CountingApp::Total() {
  const std::lock_guard lock(mutex_);
  return total_;
}

bool CountingApp::AwaitTotal(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(ScriptedServer::kPatienceMs),
                           [&] { return total_ >= count; });
}

std::string CountingApp::LastRequest(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return requests_[key];
}

void CountingApp::OpenGate() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

}  // namespace oncegate

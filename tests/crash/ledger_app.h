#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "tests/crash/ledger.h"
#include "tests/upstream/scripted_server.h"

namespace oncegate {

// The application behind one life of oncegate. It enters what it is asked to do in the ledger, works for a moment, or
// until the gate opens, and answers.
class LedgerApp {
 public:
  enum class Work : uint8_t { kBrief, kUntilGate };

  LedgerApp(Ledger& ledger, Work work, uint64_t seed);
  // REQUIRES: oncegate is dead. All that it had sent is received, and entered, before this returns.
  ~LedgerApp();
  LedgerApp(const LedgerApp&) = delete;
  LedgerApp& operator=(const LedgerApp&) = delete;

  [[nodiscard]] uint16_t port() const { return server_->port(); }
  void OpenGate();

 private:
  void Serve(Peer& peer);
  void DoWork(const std::string& key);

  Ledger& ledger_;
  const Work work_;
  const uint64_t seed_;
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;  // guarded by mutex_
  std::unique_ptr<ScriptedServer> server_;
};

// An application too busy to accept connections: whoever forwards to it has claimed the key, and cannot send. This is
// how the moment between the two is made long enough to be hit.
class StalledApp {
 public:
  StalledApp();
  ~StalledApp();
  StalledApp(const StalledApp&) = delete;
  StalledApp& operator=(const StalledApp&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  int listener_ = -1;
  uint16_t port_ = 0;
  std::vector<int> queue_;  // connections that nobody accepts
};

}  // namespace oncegate

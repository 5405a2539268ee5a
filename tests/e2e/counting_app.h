#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "tests/upstream/scripted_server.h"

namespace oncegate {

// The application behind oncegate, in the test's own process: the ledger of what was really executed. It does what the
// request's X-Do header says (several, separated by spaces):
//   status=N     answer with this status           hold      wait until the test opens the gate
//   hang-up      read the request, then close      silent    read the request and never answer
//   odd          headers repeated and out of order, a gzip'd body, a redirect
class CountingApp {
 public:
  CountingApp();
  ~CountingApp();
  CountingApp(const CountingApp&) = delete;
  CountingApp& operator=(const CountingApp&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

  // How often the key was executed.
  int Executions(const std::string& key);
  int Total();
  // False if that does not happen within the server's patience.
  bool AwaitTotal(int count);
  // What the application was sent with the key's last execution.
  std::string LastRequest(const std::string& key);
  void OpenGate();

 private:
  void Serve(Peer& peer);
  void WriteDown(const std::string& request);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> executions_;        // guarded by mutex_
  std::map<std::string, std::string> requests_;  // guarded by mutex_
  int total_ = 0;                                // guarded by mutex_
  bool open_ = false;                            // guarded by mutex_
  std::unique_ptr<ScriptedServer> server_;
};

}  // namespace oncegate

// The demonstration behind tools/run: an application that creates an order for every webhook, oncegate in front of it,
// and a sender that repeats itself. Starts both, prints what happened, and checks that there is one order a key.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tools/demo/deliveries.h"
#include "tools/demo/process.h"

namespace demo {
namespace {

constexpr int kCopies = 50;
constexpr int kGatewayPort = 8080;  // these two if they are free, any others if not
constexpr int kControlPort = 8081;
const char kRowFormat[] = "%-32s  %-9s  %9s  %-26s  %6s\n";

struct Programs {
  std::string oncegate;
  std::string application;
  std::string work_dir;  // gets a folder of its own for each run
};

// A new folder, removed with everything in it at the end.
class ScratchDir {
 public:
  explicit ScratchDir(const std::string& parent) : path_(parent + "/demo." + std::string(6, 'X')) {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot create a folder in " + parent);
  }
  ~ScratchDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The port if nobody listens there, 0 otherwise.
int IfFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return free ? port : 0;
}

// oncegate in front of the application. After a restart it has the same data and the same addresses.
class Oncegate {
 public:
  Oncegate(std::string program, std::string application_url, std::string dir)
      : program_(std::move(program)), application_url_(std::move(application_url)), dir_(std::move(dir)) {}

  void Start() {
    process_ = std::make_unique<Process>(
        std::vector<std::string>{program_, "serve", "--upstream", application_url_, "--data-dir", dir_ + "/data",
                                 "--listen", listen_, "--control-listen", control_listen_},
        dir_ + "/oncegate.log");
    gateway_url_ = process_->WaitForLine("listening gateway ");
    control_url_ = process_->WaitForLine("listening control ");
    const std::string scheme = "http://";
    listen_ = gateway_url_.substr(scheme.size());
    control_listen_ = control_url_.substr(scheme.size());
  }

  void Restart() {
    if (!process_->Stop()) throw std::runtime_error("oncegate did not stop cleanly");
    Start();
  }

  bool Ended() { return process_->Ended(); }
  [[nodiscard]] const std::string& gateway_url() const { return gateway_url_; }
  [[nodiscard]] const std::string& control_url() const { return control_url_; }

 private:
  const std::string program_;
  const std::string application_url_;
  const std::string dir_;
  std::string listen_ = "127.0.0.1:" + std::to_string(IfFree(kGatewayPort));
  std::string control_listen_ = "127.0.0.1:" + std::to_string(IfFree(kControlPort));
  std::string gateway_url_;
  std::string control_url_;
  std::unique_ptr<Process> process_;
};

// "200 x50", or what else came: "200 x49, 409".
std::string Counted(const std::map<int, int>& statuses) {
  std::string text;
  for (const auto& [status, count] : statuses) {
    text += (text.empty() ? "" : ", ") + std::to_string(status) + (count > 1 ? " x" + std::to_string(count) : "");
  }
  return text;
}

// "replayed" for one answer, "1 executed, 49 replayed" for more.
std::string Counted(const std::map<std::string, int>& outcomes) {
  if (outcomes.size() == 1 && outcomes.begin()->second == 1) return outcomes.begin()->first;
  std::string text;
  for (const auto& [outcome, count] : outcomes) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + ' ' + outcome;
  }
  return text;
}

// Prints the table row by row and remembers whether all was as promised.
class Report {
 public:
  explicit Report(std::string application_url) : application_url_(std::move(application_url)) {
    std::printf(kRowFormat, "sent", "status", "time", "Oncegate-Outcome", "orders");
  }

  void Row(const std::string& what, const Answers& answers, const std::map<std::string, int>& expected) {
    orders_ = CountOrders(application_url_);
    char time[32];
    std::snprintf(time, sizeof(time), "%.1f ms", answers.slowest_ms);
    std::printf(kRowFormat, what.c_str(), Counted(answers.statuses).c_str(), time, Counted(answers.outcomes).c_str(),
                std::to_string(orders_).c_str());
    std::fflush(stdout);
    const bool all_200 = answers.statuses.size() == 1 && answers.statuses.contains(200);
    as_promised_ = as_promised_ && all_200 && answers.outcomes == expected && answers.bodies.size() == 1;
  }

  bool Verdict(int keys) const {
    const bool once = as_promised_ && orders_ == keys;
    std::printf("\n%d keys, %d orders: %s\n", keys, orders_,
                once ? "every webhook took effect once" : "NOT every webhook took effect once");
    std::fflush(stdout);
    return once;
  }

 private:
  const std::string application_url_;
  int orders_ = 0;
  bool as_promised_ = true;
};

bool TellTheStory(Oncegate& oncegate, const std::string& application_url) {
  Report report(application_url);
  {
    Sender sender(oncegate.gateway_url());
    report.Row("evt_1, first delivery", sender.Deliver("evt_1"), {{"executed", 1}});
    report.Row("evt_1, retry", sender.Deliver("evt_1"), {{"replayed", 1}});
    report.Row("evt_2, 50 copies at once", sender.DeliverAtOnce("evt_2", kCopies),
               {{"executed", 1}, {"replayed", kCopies - 1}});
  }
  oncegate.Restart();
  Sender sender(oncegate.gateway_url());
  report.Row("evt_1, retry after a restart", sender.Deliver("evt_1"), {{"replayed", 1}});
  return report.Verdict(2);
}

// Serves until Ctrl-C, SIGTERM, or the end of one of the two programs.
int KeepServing(Oncegate& oncegate, Process& application, const std::string& application_url) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  std::cout << "\noncegate     " << oncegate.gateway_url() << "\ncontrol      " << oncegate.control_url()
            << "\napplication  " << application_url << "/orders\n\n"
            << "Send this twice; the second answer is a replay:\n\n  curl -i " << oncegate.gateway_url()
            << R"(/webhook -H 'X-Idempotency-Key: evt_3' -d '{"event":"order.paid"}')"
            << "\n\nCtrl-C stops it all." << std::endl;

  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGCHLD) {
    if (oncegate.Ended()) throw std::runtime_error("oncegate ended");
    if (application.Ended()) throw std::runtime_error("the application ended");
  }
  std::cout << "\nstopping" << std::endl;
  return 0;
}

int Run(const Programs& programs, bool once) {
  const ScratchDir scratch(programs.work_dir);
  const std::string log_file = scratch.path() + "/oncegate.log";
  try {
    Process application({programs.application}, scratch.path() + "/application.log");
    const std::string application_url = application.WaitForLine("listening ");
    Oncegate oncegate(programs.oncegate, application_url, scratch.path());
    oncegate.Start();
    if (!TellTheStory(oncegate, application_url)) throw std::runtime_error("the demonstration failed");
    return once ? 0 : KeepServing(oncegate, application, application_url);
  } catch (const std::runtime_error& error) {
    std::cout << std::flush;
    std::cerr << "demo: " << error.what() << "\nwhat oncegate logged:\n" << std::ifstream(log_file).rdbuf() << '\n';
    return 1;
  }
}

}  // namespace
}  // namespace demo

int main(int argc, char** argv) {
  CLI::App app("shows that every webhook takes effect once");
  demo::Programs programs;
  bool once = false;
  app.add_option("--oncegate", programs.oncegate, "the program to show")->required()->check(CLI::ExistingFile);
  app.add_option("--application", programs.application, "the demo application")->required()->check(CLI::ExistingFile);
  app.add_option("--work-dir", programs.work_dir, "where the data goes")->required()->check(CLI::ExistingDirectory);
  app.add_flag("--once", once, "end after the demonstration instead of serving on");
  CLI11_PARSE(app, argc, argv);
  return demo::Run(programs, once);
}

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

namespace demo {

// What came back for one or several deliveries of the same webhook.
struct Answers {
  std::map<int, int> statuses;          // HTTP status, how often
  std::map<std::string, int> outcomes;  // Oncegate-Outcome, how often
  std::set<std::string> bodies;         // the different ones
  double slowest_ms = 0;
};

// A sender of webhooks: one connection for what it sends one after the other.
// Members throw std::runtime_error when there is no answer at all.
class Sender {
 public:
  explicit Sender(std::string gateway_url);
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  Answers Deliver(const std::string& key);
  // So many copies at the same moment, each on a connection of its own.
  Answers DeliverAtOnce(const std::string& key, int copies);

 private:
  class Connection;

  const std::string gateway_url_;
  std::unique_ptr<Connection> connection_;
};

// How many orders the application has created so far.
int CountOrders(const std::string& application_url);

}  // namespace demo

#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/control_view.h"
#include "tests/support/raw_client.h"

namespace oncegate {

// Where in its life a request was when oncegate was killed, as it can be told from outside and afterwards.
enum class Step : uint8_t {
  kNotClaimed,  // no trace of it: the sender's retry is a first delivery
  kClaimed,     // claimed, not sent: unknown, and the application has not seen it
  kSent,        // sent, not answered: the application was at work
  kAnswered,    // answered, not stored: unknown, though the application was done
  kStored,      // stored, not replied: completed, though no client has the answer
  kReplied,     // completed, and a client has the answer
};
constexpr size_t kSteps = 6;
using StepCounts = std::array<int, kSteps>;

// Each duplicate and each loss is a test failure as well.
struct LedgerTotals {
  int keys = 0;
  int executions = 0;
  int repeated = 0;      // keys that were executed again, rightly or not
  int acknowledged = 0;  // keys with an answer that a client got
  int unknown = 0;
  int duplicates = 0;  // executions that should not have been
  int lost = 0;        // outcomes that were acknowledged or begun, and then forgotten or changed
};

// The application's books and those of the senders, kept outside oncegate: which key was executed when, and what was
// first answered for it. Judges everything that happens against them. Thread-safe.
class Ledger {
 public:
  // Answers with longer bodies are remembered without them: the value of --max-stored-body.
  static constexpr size_t kStoredBodyBytesMax = 65536;
  static constexpr std::chrono::seconds kPatience{20};

  Ledger(bool release_unknown, uint64_t seed) : release_unknown_(release_unknown), seed_(seed) {}

  // What senders do. `Sent` begins the story of a key; `Got` takes an answer that came in whole.
  void Sent(const std::string& key);
  void Got(const std::string& key, const RawAnswer& answer);

  // What the application does. `Execute` gives its answer, which differs from execution to execution.
  std::string Execute(const std::string& key, int attempt);
  void Answered(const std::string& key);

  // Each process is a life. The counts of Await start at 0 with it; what is answered after its end came too late.
  void BeginLife();
  void EndLife();
  // Compares the records of a process that has just started with the books, and says which step each key that was sent
  // in the life before had reached.
  StepCounts Reconcile(const std::map<std::string, ListedRecord>& records);

  // Wait until the application has received or answered, or until clients have got, so many first answers of this life.
  enum class Event : uint8_t { kReceived, kAnswered, kAcknowledged };
  bool Await(Event event, int count);

  // Keys by what is known of them, in order. Retryable ones may be executed (again) in this life.
  [[nodiscard]] std::vector<std::string> Settled() const;
  [[nodiscard]] std::vector<std::string> Unknown() const;
  [[nodiscard]] std::vector<std::string> Retryable() const;
  [[nodiscard]] bool IsUnknown(const std::string& key) const;
  [[nodiscard]] LedgerTotals Totals() const;

 private:
  struct Execution {
    int life = 0;
    int attempt = 0;
    std::string id;  // also in the answer
    std::string body;
    bool answered = false;
  };
  struct Story {
    int sent_in_life = 0;
    std::vector<Execution> executions;
    std::optional<RawAnswer> first_answer;
    std::optional<ListedRecord> listed;  // at the last start
  };

  // REQUIRES for all below: mutex_ held.
  // Empty: all is well.
  [[nodiscard]] std::string WhyNot(const Story& story, int attempt) const;
  [[nodiscard]] std::string WhyWrong(const Story& story, const RawAnswer& answer) const;
  [[nodiscard]] std::string WhyLost(const Story& story, const ListedRecord* record) const;
  [[nodiscard]] Step StepOf(const Story& story) const;
  template <typename Wanted>
  [[nodiscard]] std::vector<std::string> Keys(const Wanted& wanted) const;

  const bool release_unknown_;
  const uint64_t seed_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Story> stories_;  // guarded by mutex_, as is all below
  int life_ = 0;
  bool alive_ = false;
  std::array<int, 3> events_{};
  int duplicates_ = 0;
  int lost_ = 0;
};

// A number below `below` that only depends on the text and the seed.
uint64_t NumberOf(const std::string& text, uint64_t seed, uint64_t below);

}  // namespace oncegate

#include "tests/crash/ledger.h"

#include <gtest/gtest.h>

#include <sstream>
#include <utility>

namespace oncegate {
namespace {

// Around the limits at which bodies are stored apart, and not at all.
constexpr std::array<size_t, 6> kBodySizes = {20, 20, 700, 5'000, 20'000, 100'000};

bool IsReplay(const RawAnswer& answer) {
  return answer.Field("Oncegate-Outcome") == "replayed";
}

bool IsOmitted(const RawAnswer& answer) {
  return answer.Field("Oncegate-Body") == "omitted";
}

// The head without what a replay leaves out or adds.
std::string LastingHead(const RawAnswer& answer) {
  std::istringstream lines(answer.head);
  std::string head;
  for (std::string line; std::getline(lines, line);) {
    bool lasting = true;
    for (const char* name : {"Date: ", "Set-Cookie: ", "Oncegate-Outcome: ", "Idempotency-Replayed: "})
      lasting = lasting && !line.starts_with(name);
    if (lasting) head += line + "\n";
  }
  return head;
}

}  // namespace

uint64_t NumberOf(const std::string& text, uint64_t seed, uint64_t below) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return std::mt19937_64(hash)() % below;
}

void Ledger::BeginLife() {
  const std::lock_guard lock(mutex_);
  ++life_;
  alive_ = true;
  events_ = {};
}

void Ledger::EndLife() {
  const std::lock_guard lock(mutex_);
  alive_ = false;
}

void Ledger::Sent(const std::string& key) {
  const std::lock_guard lock(mutex_);
  stories_[key].sent_in_life = life_;
}

void Ledger::Got(const std::string& key, const RawAnswer& answer) {
  const std::lock_guard lock(mutex_);
  Story& story = stories_[key];
  const std::string wrong = WhyWrong(story, answer);
  if (!wrong.empty()) {
    ++lost_;
    ADD_FAILURE() << key << " in life " << life_ << ": " << wrong << "\n" << answer.head;
  }
  if (story.first_answer) return;
  story.first_answer = answer;
  ++events_[static_cast<size_t>(Event::kAcknowledged)];
  changed_.notify_all();
}

std::string Ledger::WhyWrong(const Story& story, const RawAnswer& answer) const {
  if (story.executions.empty()) return "an answer though the application has not seen the key";
  const Execution& execution = story.executions.back();
  if (answer.Field("X-Execution") != execution.id) return "the answer of another execution than " + execution.id;
  const bool omitted = IsOmitted(answer);
  if (omitted && (!IsReplay(answer) || execution.body.size() <= kStoredBodyBytesMax)) return "the body was not kept";
  if (!omitted && answer.body != execution.body) return "the body is not what the application sent";
  if (!story.first_answer) return {};
  // A body that is not kept comes with the executed answer only, which may come in after a duplicate's replay.
  if (IsOmitted(*story.first_answer) != omitted && IsReplay(*story.first_answer) != IsReplay(answer)) return {};
  if (LastingHead(*story.first_answer) != LastingHead(answer))
    return "not what was first answered:\n" + story.first_answer->head;
  return {};
}

std::string Ledger::Execute(const std::string& key, int attempt) {
  const std::lock_guard lock(mutex_);
  Story& story = stories_[key];
  const std::string why_not = WhyNot(story, attempt);
  if (!why_not.empty()) {
    ++duplicates_;
    ADD_FAILURE() << key << " is executed in life " << life_ << " as attempt " << attempt << ": " << why_not;
  }
  const std::string id = key + "." + std::to_string(story.executions.size() + 1) + "." + std::to_string(life_);
  std::string body = id + "\n";
  std::mt19937_64 random(NumberOf(id, seed_, ~0ULL));
  const size_t size = kBodySizes[NumberOf(key, seed_, kBodySizes.size())];
  while (body.size() < size) body.push_back(static_cast<char>(random() & 0xff));
  story.executions.push_back({life_, attempt, id, body, false});
  ++events_[static_cast<size_t>(Event::kReceived)];
  changed_.notify_all();
  return "HTTP/1.1 201 Made\r\nX-Execution: " + id + "\r\nSet-Cookie: a=" + id +
         "\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Judged by the books, not by what oncegate says of the key, but for how an unknown one is named.
std::string Ledger::WhyNot(const Story& story, int attempt) const {
  if (story.first_answer) return "its outcome was acknowledged";
  const int last = story.executions.empty() ? 0 : story.executions.back().attempt;
  if (attempt <= last) return "after attempt " + std::to_string(last);
  if (!release_unknown_) {
    if (!story.executions.empty()) return "it was executed before";
    if (story.listed) return "it was " + story.listed->state;
    return attempt == 1 ? "" : "it is new";
  }
  if (!story.executions.empty() && story.executions.back().life == life_) return "it was executed in this life";
  if (!story.listed) return story.executions.empty() && attempt == 1 ? "" : "it is not known to be unknown";
  if (story.listed->state != "unknown") return "it was " + story.listed->state;
  return attempt == story.listed->attempt + 1 ? "" : "after attempt " + std::to_string(story.listed->attempt);
}

void Ledger::Answered(const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (!alive_) return;
  stories_[key].executions.back().answered = true;
  ++events_[static_cast<size_t>(Event::kAnswered)];
  changed_.notify_all();
}

StepCounts Ledger::Reconcile(const std::map<std::string, ListedRecord>& records) {
  const std::lock_guard lock(mutex_);
  StepCounts counts{};
  for (auto& [key, story] : stories_) {
    const auto found = records.find(key);
    const ListedRecord* record = found == records.end() ? nullptr : &found->second;
    const std::string lost = WhyLost(story, record);
    if (!lost.empty()) {
      ++lost_;
      ADD_FAILURE() << key << " after life " << life_ << ": " << lost;
    }
    story.listed = record == nullptr ? std::nullopt : std::optional(*record);
    if (life_ > 0 && story.sent_in_life == life_) ++counts[static_cast<size_t>(StepOf(story))];
  }
  for (const auto& [key, record] : records) EXPECT_TRUE(stories_.contains(key)) << key << " was never sent";
  return counts;
}

std::string Ledger::WhyLost(const Story& story, const ListedRecord* record) const {
  if (record == nullptr) {
    if (story.first_answer) return "its outcome was acknowledged, and there is no record";
    if (!story.executions.empty()) return "it was executed, and there is no record";
    return story.listed ? "its record was " + story.listed->state + " and is gone" : "";
  }
  if (record->state == "completed") {
    if (story.executions.empty()) return "it is completed, and was never executed";
    if (story.listed && story.listed->state == "unknown" && !release_unknown_) return "nobody settled it";
    return story.executions.back().attempt == record->attempt ? "" : "it was completed by another attempt";
  }
  if (record->state != "unknown") return "it is " + record->state + ", and nobody executes it";
  if (story.first_answer) return "its outcome was acknowledged, and is unknown now";
  return story.listed && story.listed->attempt > record->attempt ? "its attempts went back" : "";
}

Step Ledger::StepOf(const Story& story) const {
  if (!story.listed) return Step::kNotClaimed;
  if (story.listed->state == "completed") return story.first_answer ? Step::kReplied : Step::kStored;
  if (story.executions.empty() || story.executions.back().attempt != story.listed->attempt) return Step::kClaimed;
  return story.executions.back().answered ? Step::kAnswered : Step::kSent;
}

bool Ledger::Await(Event event, int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return events_[static_cast<size_t>(event)] >= count; });
}

template <typename Wanted>
std::vector<std::string> Ledger::Keys(const Wanted& wanted) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, story] : stories_) {
    if (wanted(story)) keys.push_back(key);
  }
  return keys;
}

std::vector<std::string> Ledger::Settled() const {
  return Keys([](const Story& story) { return story.listed && story.listed->state == "completed"; });
}

std::vector<std::string> Ledger::Unknown() const {
  return Keys([](const Story& story) { return story.listed && story.listed->state == "unknown"; });
}

std::vector<std::string> Ledger::Retryable() const {
  return Keys([this](const Story& story) {
    return story.listed ? release_unknown_ && story.listed->state == "unknown" : story.executions.empty();
  });
}

bool Ledger::IsUnknown(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const std::optional<ListedRecord>& listed = stories_.at(key).listed;
  return listed && listed->state == "unknown";
}

LedgerTotals Ledger::Totals() const {
  const std::lock_guard lock(mutex_);
  LedgerTotals totals{.duplicates = duplicates_, .lost = lost_};
  for (const auto& [key, story] : stories_) {
    ++totals.keys;
    totals.executions += static_cast<int>(story.executions.size());
    totals.repeated += story.executions.size() > 1 ? 1 : 0;
    totals.acknowledged += story.first_answer ? 1 : 0;
    totals.unknown += story.listed && story.listed->state == "unknown" ? 1 : 0;
  }
  return totals;
}

}  // namespace oncegate

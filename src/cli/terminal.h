#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "cli/app.h"

namespace oncegate::cli {

// What a person at a terminal sees and what neither a file nor a program is given.

enum class Colours { kNone, kAnsi };
// kAnsi where standard output is a terminal that has colours, and NO_COLOR is unset or empty (no-color.org).
Colours ColoursOfOutput();
// A record's state in its colour: what waits for a person stands out.
std::string Coloured(std::string_view state, Colours colours);
// Something else that waits for a person, in the colour of unknown outcomes.
std::string Warning(std::string_view text, Colours colours);

// Says on standard error, if that is a terminal, that something goes on and for how long, from its second second until
// the end, when the line vanishes. Thread-safe.
class Progress {
 public:
  // `what` is a few words. `unit`, if any, names what Add counts.
  Progress(const Console& console, std::string what, std::string unit = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(uint64_t count) { done_ += count; }
  // A line of its own on standard error, beside the one that moves.
  void Say(std::string_view line);

 private:
  void Show(const std::stop_token& stop);
  void Wipe();

  const Console& console_;
  const std::string what_;
  const std::string unit_;
  std::atomic<uint64_t> done_{0};
  std::mutex mutex_;
  bool shown_ = false;  // guarded by mutex_
  std::condition_variable_any ends_;
  std::jthread thread_;
};

}  // namespace oncegate::cli

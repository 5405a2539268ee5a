#include "cli/terminal.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>

namespace oncegate::cli {
namespace {

constexpr std::chrono::seconds kShownEvery{1};
constexpr std::string_view kWipe = "\r\x1b[K";
constexpr std::string_view kPlain = "\x1b[0m";
constexpr std::string_view kWarning = "\x1b[1;33m";
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kStateColours{{
    {"completed", "\x1b[32m"},
    {"in_progress", "\x1b[36m"},
    {"unknown", kWarning},
}};

std::string_view Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

// 12,345
std::string Grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t end = digits.size(); end > 3;) digits.insert(end -= 3, 1, ',');
  return digits;
}

}  // namespace

Colours ColoursOfOutput() {
  const bool refused = !Environment("NO_COLOR").empty() || Environment("TERM").empty() || Environment("TERM") == "dumb";
  return isatty(STDOUT_FILENO) == 1 && !refused ? Colours::kAnsi : Colours::kNone;
}

std::string Coloured(std::string_view state, Colours colours) {
  for (const auto& [name, colour] : kStateColours) {
    if (colours == Colours::kAnsi && state == name) return std::string(colour).append(state).append(kPlain);
  }
  return std::string(state);
}

std::string Warning(std::string_view text, Colours colours) {
  if (colours == Colours::kNone) return std::string(text);
  return std::string(kWarning).append(text).append(kPlain);
}

Progress::Progress(const Console& console, std::string what, std::string unit)
    : console_(console), what_(std::move(what)), unit_(std::move(unit)) {
  // A console that is not the process's own has no terminal.
  if (&console.err == &std::cerr && isatty(STDERR_FILENO) == 1 && Environment("TERM") != "dumb")
    thread_ = std::jthread([this](const std::stop_token& stop) { Show(stop); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  const std::lock_guard lock(mutex_);
  Wipe();
}

void Progress::Say(std::string_view line) {
  const std::lock_guard lock(mutex_);
  Wipe();
  console_.err << line << '\n' << std::flush;
}

void Progress::Show(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (int seconds = 1; !ends_.wait_for(lock, stop, kShownEvery, [] { return false; }) && !stop.stop_requested();
       ++seconds) {
    console_.err << kWipe << what_ << ": ";
    if (!unit_.empty()) console_.err << Grouped(done_) << ' ' << unit_ << ", ";
    console_.err << seconds << " s" << std::flush;
    shown_ = true;
  }
}

// REQUIRES mutex_.
void Progress::Wipe() {
  if (std::exchange(shown_, false)) console_.err << kWipe << std::flush;
}

}  // namespace oncegate::cli

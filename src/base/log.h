#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace oncegate {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

// The names that log lines carry as `event=`; scripts and alerts match on them.
enum class LogEvent {
  kCacheHit,
  kKeyNew,
  kCleanupCompleted,
  kError,
  kUnknownHeld,
  kReleased,
  kStarted,
  kDraining,
  kStopped,
  kReloaded,
  kBackup,
  kImported,
  kResolved,
  kRedelivered,
  kShadow,
  kWarning,
  kCount,
};

// One `name=value` of a log line; one without a name is left out. Values are escaped by the logger. Never put a body, a
// header value other than a key, or a secret here.
struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t> value;
};

// Writes one line an event to standard error, from a thread of its own: callers never wait for the terminal or the
// disk. The queue between them is bounded (kQueueLinesMax); when it is full the oldest lines give way and are counted.
// Events that can come with every request are held to kEventLinesPerSecondMax lines a second; the first line after a
// flood says how many were left out (`suppressed=`). Thread-safe.
//
// text: 2026-11-23T21:43:59.123Z info  cache_hit idempotency cache hit key=evt_1 scope=default
// json: {"ts":"…","level":"info","event":"cache_hit","message":"idempotency cache hit","key":"evt_1",…}
class Logger {
 public:
  static constexpr size_t kQueueLinesMax = 8192;
  static constexpr int64_t kEventLinesPerSecondMax = 200;

  Logger(LogFormat format, LogLevel level);
  // Writes what is queued, then ends the thread.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void Log(LogLevel level, LogEvent event, std::string_view message, std::initializer_list<LogField> fields = {});
  [[nodiscard]] bool Enabled(LogLevel level) const { return level >= level_; }

 private:
  class Impl;
  const LogLevel level_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oncegate

#include "base/log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <atomic>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/thread_name.h"
#include "base/units.h"

namespace oncegate {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames{"debug", "info", "warn", "error"};
constexpr auto kEvents = static_cast<size_t>(LogEvent::kCount);
constexpr std::array<std::string_view, kEvents> kEventNames{
    "cache_hit", "key_new",  "cleanup_completed", "error",    "unknown_held", "released",    "started", "draining",
    "stopped",   "reloaded", "backup_completed",  "imported", "resolved",     "redelivered", "shadow",  "warning"};

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '\\' || c == '=') return true;
  }
  return false;
}

}  // namespace

class Logger::Impl {
 public:
  explicit Impl(LogFormat format)
      : format_(format),
        pool_(std::make_shared<spdlog::details::thread_pool>(kQueueLinesMax, 1, [] { NameThisThread("log"); })),
        logger_(std::make_shared<spdlog::async_logger>("oncegate", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                                       pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_pattern("%v");
    logger_->set_level(spdlog::level::trace);
    logger_->flush_on(spdlog::level::trace);
  }

  void Write(LogLevel level, LogEvent event, std::string_view message, std::initializer_list<LogField> fields) {
    const int64_t now_ms = clock_.WallMs();
    int64_t suppressed = 0;
    if (!Admit(event, now_ms, &suppressed)) return;
    std::string line = format_ == LogFormat::kJson ? Json(now_ms, level, event, message, fields, suppressed)
                                                   : Text(now_ms, level, event, message, fields, suppressed);
    logger_->log(spdlog::level::info, "{}", line);
  }

 private:
  // What one event has written in the current second. Threads that meet at the turn of a second may let a few lines
  // more through; no line is lost uncounted.
  struct alignas(64) Window {
    std::atomic<int64_t> second{0};
    std::atomic<int64_t> lines{0};
    std::atomic<int64_t> suppressed{0};
  };

  // Whether this event may write another line in this second, and how many it had to leave out before.
  bool Admit(LogEvent event, int64_t now_ms, int64_t* suppressed) {
    Window& window = windows_[static_cast<size_t>(event)];
    const bool same_second = window.second.load(std::memory_order_relaxed) == now_ms / 1000;
    if (!same_second) {
      window.second.store(now_ms / 1000, std::memory_order_relaxed);
      window.lines.store(0, std::memory_order_relaxed);
    }
    if (window.lines.load(std::memory_order_relaxed) >= kEventLinesPerSecondMax ||
        window.lines.fetch_add(1, std::memory_order_relaxed) >= kEventLinesPerSecondMax) {
      window.suppressed.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    *suppressed = window.suppressed.exchange(0, std::memory_order_relaxed);
    return true;
  }

  static std::string Json(int64_t now_ms, LogLevel level, LogEvent event, std::string_view message,
                          std::initializer_list<LogField> fields, int64_t suppressed) {
    std::string line = "{\"ts\":\"" + FormatRfc3339(now_ms) + "\",\"level\":\"";
    line += kLevelNames[static_cast<size_t>(level)];
    line += "\",\"event\":";
    AppendJsonString(kEventNames[static_cast<size_t>(event)], &line);
    line += ",\"message\":";
    AppendJsonString(message, &line);
    for (const LogField& field : fields) {
      if (field.name.empty()) continue;
      line.push_back(',');
      AppendJsonString(field.name, &line);
      line.push_back(':');
      if (const auto* number = std::get_if<int64_t>(&field.value)) {
        line += std::to_string(*number);
      } else {
        AppendJsonString(std::get<std::string_view>(field.value), &line);
      }
    }
    if (suppressed > 0) line += ",\"suppressed\":" + std::to_string(suppressed);
    line.push_back('}');
    return line;
  }

  static std::string Text(int64_t now_ms, LogLevel level, LogEvent event, std::string_view message,
                          std::initializer_list<LogField> fields, int64_t suppressed) {
    std::string line = FormatRfc3339(now_ms);
    line.push_back(' ');
    line += kLevelNames[static_cast<size_t>(level)];
    line.push_back(' ');
    line += kEventNames[static_cast<size_t>(event)];
    line.push_back(' ');
    line += message;
    for (const LogField& field : fields) {
      if (field.name.empty()) continue;
      line.push_back(' ');
      line += field.name;
      line.push_back('=');
      if (const auto* number = std::get_if<int64_t>(&field.value)) {
        line += std::to_string(*number);
      } else if (const auto text = std::get<std::string_view>(field.value); NeedsQuotes(text)) {
        AppendJsonString(text, &line);
      } else {
        line += text;
      }
    }
    if (suppressed > 0) line += " suppressed=" + std::to_string(suppressed);
    return line;
  }

  const LogFormat format_;
  const SystemClock clock_;
  const std::shared_ptr<spdlog::details::thread_pool> pool_;
  const std::shared_ptr<spdlog::async_logger> logger_;
  std::array<Window, kEvents> windows_;
};

Logger::Logger(LogFormat format, LogLevel level) : level_(level), impl_(std::make_unique<Impl>(format)) {}
Logger::~Logger() = default;

void Logger::Log(LogLevel level, LogEvent event, std::string_view message, std::initializer_list<LogField> fields) {
  if (!Enabled(level)) return;
  impl_->Write(level, event, message, fields);
}

}  // namespace oncegate

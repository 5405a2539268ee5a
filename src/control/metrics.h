#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/histogram.h"

namespace oncegate::control {

// Writes Prometheus' text format, version 0.0.4: families one after another, each with its samples. Not thread-safe.
class MetricsWriter {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  enum class Kind : uint8_t { kCounter, kGauge, kHistogram };

  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  // The metric that the samples from here on belong to. REQUIRES: each name once; counters' names end in _total.
  void Family(std::string_view name, Kind kind, std::string_view help);
  void Sample(Labels labels, uint64_t value);
  void Sample(Labels labels, double value);
  // A whole histogram of durations, in seconds.
  void Histogram(Labels labels, const DurationCounts& counts);
  // A family of one sample without labels.
  void Counter(std::string_view name, std::string_view help, uint64_t value);
  void Gauge(std::string_view name, std::string_view help, double value);

  std::string Take() { return std::move(text_); }

 private:
  void Line(std::string_view suffix, Labels labels, std::pair<std::string_view, std::string_view> last,
            std::string_view value);

  std::string text_;
  std::string name_;
};

// What the operating system says of this process.
struct ProcessUsage {
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
  double cpu_seconds = 0;
};
// Nothing where /proc cannot be read.
std::optional<ProcessUsage> ReadProcessUsage();

}  // namespace oncegate::control

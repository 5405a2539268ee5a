#include "control/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace oncegate::control {
namespace {

// The shortest form that reads back as the same number.
template <typename Number>
std::string Text(Number value) {
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end};
}

double Seconds(int64_t us) {
  return static_cast<double>(us) / 1'000'000;
}

void AppendEscaped(std::string_view value, std::string* out) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out->push_back('\\');
    if (c == '\n') {
      out->append("\\n");
    } else {
      out->push_back(c);
    }
  }
}

}  // namespace

void MetricsWriter::Family(std::string_view name, Kind kind, std::string_view help) {
  constexpr std::array<std::string_view, 3> kKinds{"counter", "gauge", "histogram"};
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ");
  text_.append(kKinds[static_cast<size_t>(kind)]).append("\n");
}

void MetricsWriter::Line(std::string_view suffix, Labels labels, std::pair<std::string_view, std::string_view> last,
                         std::string_view value) {
  text_.append(name_).append(suffix);
  char before = '{';
  const auto append = [&](std::string_view name, std::string_view label) {
    text_.push_back(before);
    text_.append(name).append("=\"");
    AppendEscaped(label, &text_);
    text_.push_back('"');
    before = ',';
  };
  for (const auto& [name, label] : labels) append(name, label);
  if (!last.first.empty()) append(last.first, last.second);
  if (before == ',') text_.push_back('}');
  text_.append(" ").append(value).append("\n");
}

void MetricsWriter::Sample(Labels labels, uint64_t value) {
  Line({}, labels, {}, Text(value));
}

void MetricsWriter::Sample(Labels labels, double value) {
  Line({}, labels, {}, Text(value));
}

void MetricsWriter::Histogram(Labels labels, const DurationCounts& counts) {
  uint64_t below = 0;
  for (size_t i = 0; i < kDurationBoundsUs.size(); ++i) {
    below += counts.buckets[i];
    Line("_bucket", labels, {"le", Text(Seconds(kDurationBoundsUs[i]))}, Text(below));
  }
  Line("_bucket", labels, {"le", "+Inf"}, Text(counts.count()));
  Line("_sum", labels, {}, Text(Seconds(static_cast<int64_t>(counts.sum_us))));
  Line("_count", labels, {}, Text(counts.count()));
}

void MetricsWriter::Counter(std::string_view name, std::string_view help, uint64_t value) {
  Family(name, Kind::kCounter, help);
  Sample({}, value);
}

void MetricsWriter::Gauge(std::string_view name, std::string_view help, double value) {
  Family(name, Kind::kGauge, help);
  Sample({}, value);
}

std::optional<ProcessUsage> ReadProcessUsage() {
  std::ifstream file("/proc/self/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), {});
  // The second field is the command's name, which may hold anything but ends with the last parenthesis.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(stat.substr(name_end + 1));
  std::vector<std::string> fields{"", ""};  // so that the numbers are those of proc(5), less one
  for (std::string field; rest >> field;) fields.push_back(field);
  constexpr size_t kUserTime = 13;
  constexpr size_t kSystemTime = 14;
  constexpr size_t kThreads = 19;
  constexpr size_t kVirtualBytes = 22;
  constexpr size_t kResidentPages = 23;
  if (fields.size() <= kResidentPages) return std::nullopt;
  const auto number = [&fields](size_t at) -> uint64_t { return std::strtoull(fields[at].c_str(), nullptr, 10); };
  ProcessUsage usage;
  usage.cpu_seconds =
      static_cast<double>(number(kUserTime) + number(kSystemTime)) / static_cast<double>(sysconf(_SC_CLK_TCK));
  usage.threads = number(kThreads);
  usage.virtual_bytes = number(kVirtualBytes);
  usage.resident_bytes = number(kResidentPages) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::error_code error;
  for (std::filesystem::directory_iterator fd("/proc/self/fd", error), end; !error && fd != end; fd.increment(error))
    ++usage.open_fds;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.max_fds = limit.rlim_cur;
  return usage;
}

}  // namespace oncegate::control

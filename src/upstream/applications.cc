#include "upstream/applications.h"

#include <algorithm>
#include <system_error>

namespace oncegate {
namespace {

std::string NameOf(const UpstreamUrl& url) {
  return (url.tls ? "https://" : "http://") + url.authority;
}

// When the file was written last, so that new certificates under the old name are seen.
std::filesystem::file_time_type WrittenAt(const std::string& file) {
  std::error_code none;
  return file.empty() ? std::filesystem::file_time_type() : std::filesystem::last_write_time(file, none);
}

bool SameApplication(const HttpUpstreamOptions& a, const HttpUpstreamOptions& b) {
  return a.url.tls == b.url.tls && a.url.host == b.url.host && a.url.port == b.url.port && a.ca_file == b.ca_file &&
         a.connect_timeout_ms == b.connect_timeout_ms && a.idle_connections_max == b.idle_connections_max;
}

}  // namespace

Result<std::shared_ptr<Upstream>> Applications::Open(const HttpUpstreamOptions& options) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const Entry& entry) { return entry.upstream.expired(); });
  const auto ca_written = WrittenAt(options.ca_file);
  for (const Entry& entry : entries_) {
    if (!SameApplication(entry.options, options) || entry.ca_written != ca_written) continue;
    if (std::shared_ptr<Upstream> upstream = entry.upstream.lock()) return upstream;
  }
  if (loop_ == nullptr) loop_ = std::make_unique<upstream::ExchangeLoop>(clock_);
  Result<std::unique_ptr<Upstream>> made = MakeHttpUpstream(options, clock_, loop_.get());
  if (!made.ok()) return made.status();
  std::shared_ptr<Upstream> upstream = *std::move(made);
  if (aborted_) upstream->Abort();
  entries_.push_back({options, ca_written, upstream});
  return upstream;
}

void Applications::Choose(const std::vector<std::shared_ptr<Upstream>>& upstreams) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_)
    entry.chosen = std::find(upstreams.begin(), upstreams.end(), entry.upstream.lock()) != upstreams.end();
}

std::vector<Applications::Named> Applications::InUse(bool chosen_only) {
  const std::lock_guard lock(mutex_);
  std::vector<Named> named;
  for (const Entry& entry : entries_) {
    if (chosen_only && !entry.chosen) continue;
    if (std::shared_ptr<Upstream> upstream = entry.upstream.lock())
      named.emplace_back(NameOf(entry.options.url), std::move(upstream));
  }
  return named;
}

Status Applications::Probe(int64_t timeout_ms) {
  const std::vector<Named> all = InUse(true);
  const int64_t end_ms = clock_.SteadyMs() + timeout_ms;
  std::string failures;
  for (size_t i = 0; i < all.size(); ++i) {
    const int64_t share_ms = (end_ms - clock_.SteadyMs()) / static_cast<int64_t>(all.size() - i);
    const Status status = all[i].second->Probe(std::max(share_ms, kProbeMsMin));
    if (status.ok()) continue;
    failures.append(failures.empty() ? "" : "; ");
    if (all.size() > 1) failures.append(all[i].first).append(": ");
    failures.append(status.message());
  }
  return failures.empty() ? OkStatus() : Unavailable(std::move(failures));
}

void Applications::Abort() {
  {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
  }
  for (const auto& [name, upstream] : InUse(false)) upstream->Abort();
}

}  // namespace oncegate

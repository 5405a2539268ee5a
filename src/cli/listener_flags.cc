#include "cli/listener_flags.h"

#include <string>
#include <utility>
#include <vector>

#include "cli/flag_values.h"
#include "control/access.h"
#include "tls/server_context.h"

namespace oncegate::cli {
namespace {

using Values = std::vector<std::string>;

constexpr int64_t kRateMax = 1'000'000;
constexpr size_t kProxiesMax = 256;

Status ReadRate(const Values& values, ServeOptions& options) {
  std::string number = values[0];
  const bool a_second = number.ends_with("/s");
  if (a_second) number.resize(number.size() - 2);
  if (!a_second || !ReadNumber(number, 1, kRateMax, &options.ingress.rate_limit.per_second).ok())
    return InvalidArgument("'" + values[0] + "' is not a number of requests a second such as 100/s, up to 1000000/s");
  return OkStatus();
}

Status ReadProxies(const Values& values, ServeOptions& options) {
  if (values.size() > kProxiesMax) return InvalidArgument("more than " + std::to_string(kProxiesMax) + " of them");
  for (const std::string& value : values) {
    Result<AddressRange> range = AddressRange::Parse(value);
    if (!range.ok()) return range.status();
    options.ingress.trusted_proxies.push_back(*range);
  }
  return OkStatus();
}

const ServeFlag kListenerFlags[] = {
    {"tls-cert", group::kListeners, "FILE", "",
     "HTTPS on the gateway, and on a control listener beyond loopback: certificate and chain (PEM)", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.tls_cert_file); }},
    {"tls-key", group::kListeners, "FILE", "", "The certificate's private key (PEM, no passphrase)", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.tls_key_file); }},
    {"trusted-proxy", group::kListeners, "CIDR", "",
     "Whose X-Forwarded-For, Forwarded and X-Forwarded-Proto are believed, e.g. 10.0.0.0/8; repeatable", true, false,
     ReadProxies},
    {"rate-limit", group::kLimits, "N/s", "",
     "Requests of one address (IPv6: /64) a second; more get 429; default: no limit", false, false, ReadRate},
    {"rate-burst", group::kLimits, "N", "", "How many of them may come at once; default: those of one second", false,
     false,
     [](const Values& v, ServeOptions& o) { return ReadNumber(v[0], 1, kRateMax, &o.ingress.rate_limit.burst); }},
};

Status LoadTls(ServeOptions* options) {
  if (options->tls_cert_file.empty() && options->tls_key_file.empty()) return OkStatus();
  if (options->tls_key_file.empty()) return InvalidArgument("--tls-cert: needs --tls-key, the certificate's key");
  if (options->tls_cert_file.empty()) return InvalidArgument("--tls-key: needs --tls-cert, the key's certificate");
  Result<std::shared_ptr<const tls::ServerContext>> loaded =
      tls::ServerContext::Load(options->tls_cert_file, options->tls_key_file);
  if (!loaded.ok()) return InvalidArgument("--tls-cert, --tls-key: " + loaded.status().message());
  options->tls = *std::move(loaded);
  if (options->tls->expired())
    options->warnings.emplace_back("--tls-cert: the certificate in '" + options->tls_cert_file + "' has expired");
  return OkStatus();
}

}  // namespace

std::span<const ServeFlag> ListenerFlags() {
  return kListenerFlags;
}

Status CheckListenerFlags(const GivenFlags& given, ServeOptions* options) {
  RateLimit& limit = options->ingress.rate_limit;
  if (given.contains("rate-burst") && limit.per_second == 0)
    return InvalidArgument("--rate-burst: needs --rate-limit, such as --rate-limit 100/s");
  if (limit.burst == 0) limit.burst = limit.per_second;
  if (Status status = LoadTls(options); !status.ok()) return status;
  if (options->tls == nullptr && !control::IsLoopback(options->control_listen.host)) {
    options->warnings.emplace_back(
        "--control-listen beyond loopback without --tls-cert: tokens and records travel in plain text");
  }
  return OkStatus();
}

}  // namespace oncegate::cli

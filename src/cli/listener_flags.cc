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

constexpr std::string_view kListeners = "Listeners";

const ServeFlag kFlags[] = {
    {"tls-cert", kListeners, "FILE", "",
     "HTTPS on the gateway, and on a control listener beyond loopback: certificate and chain (PEM)", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.tls_cert_file); }},
    {"tls-key", kListeners, "FILE", "", "The certificate's private key (PEM, no passphrase)", false, true,
     [](const Values& v, ServeOptions& o) { return ReadPath(v[0], &o.tls_key_file); }},
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
  return kFlags;
}

Status CheckListenerFlags(const GivenFlags& /*given*/, ServeOptions* options) {
  if (Status status = LoadTls(options); !status.ok()) return status;
  if (options->tls == nullptr && !control::IsLoopback(options->control_listen.host)) {
    options->warnings.emplace_back(
        "--control-listen beyond loopback without --tls-cert: tokens and records travel in plain text");
  }
  return OkStatus();
}

}  // namespace oncegate::cli

#include "gateway/provider.h"

#include <algorithm>
#include <array>
#include <vector>

#include "gateway/route.h"

namespace oncegate {
ProviderFindings Inspect(const ProviderRoute& provider, const InboundRequest& request, int64_t wall_ms) {
  const http::Fields& fields = request.head.fields;
  std::vector<HeaderLine> headers;
  headers.reserve(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) headers.push_back({fields[i].name, fields[i].value});
  const std::string url = SenderUrl(provider.public_url, request.tls ? "https" : "http",
                                    fields.Find("Host").value_or(std::string_view()), request.head.target);
  const WebhookRequest webhook{request.head.method, request.head.target, url, headers, request.body};
  const Profile& profile = *provider.profile;
  RequestReader reader(webhook, profile.paths);

  ProviderFindings findings;
  const Handshake* const handshake = FindHandshake(profile, reader);
  findings.handshake = handshake != nullptr;
  const bool checked = provider.verifier && !(handshake != nullptr && handshake->is_unsigned);
  findings.verdict.reason = SignatureReason::kNone;
  if (checked) findings.verdict = provider.verifier->Verify(reader, {wall_ms, wall_ms});
  if (!findings.verdict.valid() || findings.handshake) return findings;
  if (provider.makes_keys) findings.key = WebhookKey(profile, reader);
  findings.type = FirstValue(profile.type, reader);
  if (findings.type && !IsPresentable(*findings.type, kTypeBytesMax)) findings.type.reset();
  for (const auto& [name, source] : profile.labels) {
    if (std::find(provider.left_out_labels.begin(), provider.left_out_labels.end(), name) !=
        provider.left_out_labels.end())
      continue;
    std::optional<std::string> value = reader.Value(source);
    if (value && IsPresentable(*value, kLabelBytesMax)) findings.labels.emplace_back(name, *std::move(value));
  }
  findings.guard = GuardDigest(profile, reader, findings.verdict);
  return findings;
}

}  // namespace oncegate

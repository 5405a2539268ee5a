#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "http/error.h"
#include "http/head.h"

namespace oncegate::control {

// Who may use the control listener. Only a digest of the token is kept.
struct ControlToken {
  std::string name;  // empty: the file gives none
  Sha256Digest digest{};
  bool read_only = false;  // changes nothing and sees no bodies
};

inline constexpr size_t kTokensMax = 1000;
inline constexpr size_t kTokenFileBytesMax = 1 << 20;

// Reads a token file: one `token`, `name:token` or `name:read-only:token` a line; empty lines and lines that begin with
// '#' are skipped. InvalidArgument, with the line's number and never its text, for anything else and for a file without
// a token.
Result<std::vector<ControlToken>> ParseTokens(std::string_view text);
Result<std::vector<ControlToken>> LoadTokens(const std::string& file);
// The first token of such a file, as a client shows it.
Result<std::string> LoadFirstToken(const std::string& file);

// Whether only this machine can reach the address: localhost, 127.0.0.0/8, ::1.
bool IsLoopback(std::string_view host);

// Decides who may ask what, from a vetted head. Thread-safe.
class AccessRules {
 public:
  // `listen_host`: the address of the listener, which a Host header may name.
  AccessRules(std::string listen_host, std::vector<ControlToken> tokens);

  // From now on these tokens hold.
  void SetTokens(std::vector<ControlToken> tokens);

  struct Verdict {
    std::optional<http::Error> refusal;
    std::string actor;  // the token's name; empty where there is none
    bool read_only = false;
  };
  // With tokens a request must bear one of them, which may do what it is for. Without, only the machine itself is
  // asking, and what a web page in its browser makes it ask is refused: a Host that is not this listener (DNS
  // rebinding). A foreign Origin may change nothing in either case. /healthz, /readyz and the dashboard's page are open
  // to all.
  [[nodiscard]] Verdict Check(const http::RequestHead& head) const;

 private:
  using Tokens = std::vector<ControlToken>;

  [[nodiscard]] bool HostAllowed(std::string_view host) const;

  const std::string listen_host_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Tokens> tokens_;  // guarded by mutex_; shared with the checks that are under way
};

}  // namespace oncegate::control

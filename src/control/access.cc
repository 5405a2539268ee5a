#include "control/access.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "http/chars.h"

namespace oncegate::control {
namespace {

using http::EqualsIgnoreCase;
using http::ErrorCode;

constexpr size_t kTokenNameBytesMax = 64;

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool IsMadeOf(std::string_view text, std::string_view marks) {
  return std::all_of(text.begin(), text.end(),
                     [marks](char c) { return IsAlnum(c) || marks.find(c) != std::string_view::npos; });
}

// The characters that can stand in an Authorization header (RFC 6750 section 2.1).
bool IsToken(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  return !text.empty() && IsMadeOf(text, "-._~+/");
}

constexpr std::string_view kReadOnlyMark = "read-only:";

struct TokenLine {
  std::string_view name;
  bool read_only = false;
  std::string_view secret;
};

bool ParseTokenLine(std::string_view line, TokenLine* token) {
  const size_t colon = line.find(':');
  const std::string_view name = colon == std::string_view::npos ? std::string_view() : line.substr(0, colon);
  std::string_view secret = http::TrimSpaces(line.substr(colon == std::string_view::npos ? 0 : colon + 1));
  const bool read_only = colon != std::string_view::npos && secret.starts_with(kReadOnlyMark);
  if (read_only) secret = http::TrimSpaces(secret.substr(kReadOnlyMark.size()));
  if (colon != std::string_view::npos && (name.empty() || name.size() > kTokenNameBytesMax || !IsMadeOf(name, "_.-")))
    return false;
  if (!IsToken(secret)) return false;
  *token = {name, read_only, secret};
  return true;
}

Result<std::vector<TokenLine>> ReadLines(std::string_view text) {
  std::vector<TokenLine> tokens;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    line = http::TrimSpaces(line);
    if (line.empty() || line.front() == '#') continue;
    TokenLine token;
    if (!ParseTokenLine(line, &token))
      return InvalidArgument("line " + std::to_string(number) +
                             " is neither TOKEN nor NAME:TOKEN nor NAME:read-only:TOKEN");
    tokens.push_back(token);
    if (tokens.size() > kTokensMax) return InvalidArgument("more than " + std::to_string(kTokensMax) + " tokens");
  }
  if (tokens.empty()) return InvalidArgument("the file holds no token");
  return tokens;
}

// The bytes of a file with secrets; wiped when they go.
struct SecretText {
  std::string bytes;
  ~SecretText() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

Status ReadFile(const std::string& file, SecretText* text) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return InvalidArgument("'" + file + "' cannot be read");
  text->bytes.resize(kTokenFileBytesMax + 1);
  in.read(text->bytes.data(), static_cast<std::streamsize>(text->bytes.size()));
  if (in.bad() || (in.fail() && !in.eof())) return InvalidArgument("'" + file + "' cannot be read");
  text->bytes.resize(static_cast<size_t>(in.gcount()));
  if (text->bytes.size() > kTokenFileBytesMax) return InvalidArgument("'" + file + "' is larger than 1 MiB");
  return OkStatus();
}

// Looks at every token to its end, so that the time taken tells nothing about them.
const ControlToken* FindToken(const std::vector<ControlToken>& tokens, std::string_view secret) {
  const Sha256Digest digest = Sha256OfParts({secret});
  const ControlToken* found = nullptr;
  for (const ControlToken& token : tokens) {
    if (CRYPTO_memcmp(token.digest.data(), digest.data(), digest.size()) == 0) found = &token;
  }
  return found;
}

// What an Authorization field says after "Bearer ".
std::string_view BearerToken(const http::Fields& fields) {
  constexpr std::string_view kScheme = "Bearer ";
  if (fields.Count("Authorization") != 1) return {};
  const std::string_view value = *fields.Find("Authorization");
  if (value.size() < kScheme.size() || !EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) return {};
  return http::TrimSpaces(value.substr(kScheme.size()));
}

// A Host value without its port, and an IPv6 address without its brackets.
std::string_view HostName(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    const size_t bracket = host.find(']');
    return bracket == std::string_view::npos ? std::string_view() : host.substr(1, bracket - 1);
  }
  return host.substr(0, host.find(':'));
}

bool ChangesState(std::string_view method) {
  return method != "GET" && method != "HEAD";
}

// Probes, and the dashboard's page, which holds nothing of what is stored and asks for a token by itself.
bool IsOpenToAll(const http::RequestHead& head) {
  if (head.path() == "/healthz" || head.path() == "/readyz") return true;
  return !ChangesState(head.method) && (head.path() == "/" || head.path().starts_with("/assets/"));
}

bool OriginIsHost(std::string_view origin, std::string_view host) {
  const size_t scheme_end = origin.find("://");
  return scheme_end != std::string_view::npos && EqualsIgnoreCase(origin.substr(scheme_end + 3), host);
}

}  // namespace

Result<std::vector<ControlToken>> ParseTokens(std::string_view text) {
  const Result<std::vector<TokenLine>> lines = ReadLines(text);
  if (!lines.ok()) return lines.status();
  std::vector<ControlToken> tokens;
  for (const TokenLine& line : *lines)
    tokens.push_back({std::string(line.name), Sha256OfParts({line.secret}), line.read_only});
  return tokens;
}

Result<std::vector<ControlToken>> LoadTokens(const std::string& file) {
  SecretText text;
  if (Status status = ReadFile(file, &text); !status.ok()) return status;
  Result<std::vector<ControlToken>> tokens = ParseTokens(text.bytes);
  if (!tokens.ok()) return InvalidArgument("'" + file + "': " + tokens.status().message());
  return tokens;
}

Result<std::string> LoadFirstToken(const std::string& file) {
  SecretText text;
  if (Status status = ReadFile(file, &text); !status.ok()) return status;
  const Result<std::vector<TokenLine>> lines = ReadLines(text.bytes);
  if (!lines.ok()) return InvalidArgument("'" + file + "': " + lines.status().message());
  return std::string(lines->front().secret);
}

bool IsLoopback(std::string_view host) {
  if (EqualsIgnoreCase(host, "localhost")) return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

AccessRules::AccessRules(std::string listen_host, std::vector<ControlToken> tokens)
    : listen_host_(std::move(listen_host)), tokens_(std::make_shared<const Tokens>(std::move(tokens))) {}

void AccessRules::SetTokens(std::vector<ControlToken> tokens) {
  auto fresh = std::make_shared<const Tokens>(std::move(tokens));
  const std::lock_guard lock(mutex_);
  tokens_ = std::move(fresh);
}

bool AccessRules::HostAllowed(std::string_view host) const {
  const std::string_view name = HostName(host);
  return IsLoopback(name) || EqualsIgnoreCase(name, listen_host_);
}

AccessRules::Verdict AccessRules::Check(const http::RequestHead& head) const {
  if (IsOpenToAll(head)) return {};
  std::shared_ptr<const Tokens> tokens;
  {
    const std::lock_guard lock(mutex_);
    tokens = tokens_;
  }
  const std::string_view host = head.fields.Find("Host").value_or("");
  Verdict verdict;
  const auto refuse = [&verdict](ErrorCode code, std::string detail) {
    verdict.refusal = http::Error{.code = code, .detail = std::move(detail), .retry_after_s = {}, .status = {}};
    return verdict;
  };
  if (!tokens->empty()) {
    const ControlToken* token = FindToken(*tokens, BearerToken(head.fields));
    if (token == nullptr) return refuse(ErrorCode::kUnauthorized, "The request bears no valid token.");
    verdict.actor = token->name;
    verdict.read_only = token->read_only;
    if (token->read_only && ChangesState(head.method))
      return refuse(ErrorCode::kUnauthorized, "This token may only read.");
  } else if (!HostAllowed(host)) {
    return refuse(ErrorCode::kBadRequest, "The Host header names another server than this listener.");
  }
  const std::optional<std::string_view> origin = head.fields.Find("Origin");
  if (ChangesState(head.method) && origin && !OriginIsHost(*origin, host))
    return refuse(ErrorCode::kBadRequest, "Pages of another origin may change nothing here.");
  return verdict;
}

}  // namespace oncegate::control

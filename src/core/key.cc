#include "core/key.h"

#include <array>

#include "base/hash.h"

namespace oncegate {
namespace {

constexpr std::array<bool, 256> Alphabet(std::string_view extra) {
  std::array<bool, 256> allowed{};
  for (char c = 'a'; c <= 'z'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (const char c : extra) allowed[static_cast<unsigned char>(c)] = true;
  return allowed;
}

constexpr std::array<bool, 256> kKeyAlphabet = Alphabet("._:=+/@~-");
constexpr std::array<bool, 256> kScopeAlphabet = Alphabet("._-");

constexpr size_t kJoinedDigits = 32;

bool AllOf(std::string_view text, const std::array<bool, 256>& allowed) {
  for (const char c : text) {
    if (!allowed[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string JoinEscaped(std::span<const std::string> parts) {
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined.push_back(':');
    for (const char c : parts[i]) {
      if (c == '~') {
        joined += "~0";
      } else if (c == ':') {
        joined += "~1";
      } else {
        joined.push_back(c);
      }
    }
  }
  return joined;
}

std::string DigestKey(std::span<const std::string> parts) {
  // The digest of the digests: each part is hashed with its length before it, and so is each digest.
  std::string digests;
  for (const std::string& part : parts) {
    const Sha256Digest digest = Sha256OfParts({part});
    digests.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  const Sha256Digest whole = Sha256OfParts({digests});
  return "sha256:" + ToHex({reinterpret_cast<const char*>(whole.data()), whole.size()});
}

}  // namespace

bool IsValidKey(std::string_view key) {
  return !key.empty() && key.size() <= kKeyBytesMax && AllOf(key, kKeyAlphabet);
}

bool IsValidScope(std::string_view scope) {
  return !scope.empty() && scope.size() <= kScopeBytesMax && AllOf(scope, kScopeAlphabet);
}

std::string JoinedScope(std::string_view scope, std::string_view client) {
  const Sha256Digest digest = Sha256OfParts({client});
  return std::string(scope) + "~" + ToHex({reinterpret_cast<const char*>(digest.data()), kJoinedDigits / 2});
}

bool IsRecordScope(std::string_view scope) {
  const size_t tilde = scope.find('~');
  if (tilde == std::string_view::npos) return IsValidScope(scope);
  const std::string_view digits = scope.substr(tilde + 1);
  return IsValidScope(scope.substr(0, tilde)) && digits.size() == kJoinedDigits &&
         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> KeyFromHeaderValue(std::string_view value) {
  std::string_view key = TrimBlanks(value);
  if (!key.empty() && key.front() == '"') {
    if (key.size() < 2 || key.back() != '"') return InvalidArgument("the key's quotation marks do not match");
    key = key.substr(1, key.size() - 2);
  }
  if (key.empty()) return std::string();
  if (key.size() > kKeyBytesMax)
    return InvalidArgument("the key has " + std::to_string(key.size()) + " characters; at most 255 are allowed");
  if (!AllOf(key, kKeyAlphabet)) return InvalidArgument("the key may hold only letters, digits and . _ : = + / @ ~ -");
  return std::string(key);
}

std::string KeyFromParts(std::span<const std::string> parts) {
  std::string key = parts.size() == 1 ? parts.front() : JoinEscaped(parts);
  if (IsValidKey(key)) return key;
  return DigestKey(parts);
}

ScopedKey::ScopedKey(std::string_view scope, std::string_view key) : scope_size_(scope.size()) {
  bytes_.clear();
  bytes_.reserve(scope.size() + 1 + key.size());
  bytes_.append(scope).push_back('\0');
  bytes_.append(key);
}

bool ScopedKey::FromBytes(std::string_view bytes, ScopedKey* key) {
  const size_t separator = bytes.find('\0');
  if (separator == std::string_view::npos) return false;
  *key = ScopedKey(bytes.substr(0, separator), bytes.substr(separator + 1));
  return true;
}

}  // namespace oncegate

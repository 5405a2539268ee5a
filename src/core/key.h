#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace oncegate {

inline constexpr size_t kKeyBytesMax = 255;
inline constexpr size_t kScopeBytesMax = 64;

// 1 to 255 characters of A-Z a-z 0-9 . _ : = + / @ ~ -
bool IsValidKey(std::string_view key);

// 1 to 64 characters of A-Z a-z 0-9 . _ -
bool IsValidScope(std::string_view scope);

// A scope joined with what tells clients apart (--scope-header): the name, '~', and 32 hexadecimal digits of a digest
// of `client`. No scope's own name holds a '~'.
std::string JoinedScope(std::string_view scope, std::string_view client);
// Whether records can have this scope: a name, or a joined one.
bool IsRecordScope(std::string_view scope);

// The key that a header value stands for: an RFC 8941 string ("abc") and the bare form (abc) are the same key. `value`
// is the raw bytes as received, less surrounding spaces and tabs; nothing is percent-decoded. An empty value, and an
// empty string "", give an empty key: the key is missing. InvalidArgument, with a message fit for the sender, for bad
// quoting, parameters after the string, other characters, or more than 255 of them.
Result<std::string> KeyFromHeaderValue(std::string_view value);

// The key made of values found in the body, in the order of their pointers. REQUIRES: at least one part, none absent.
// One part is the key itself; several are joined by ':' with '~' as "~0" and ':' as "~1" inside parts. What breaks the
// key rules or grows past 255 characters becomes "sha256:" and the hex of a digest of the length-prefixed parts.
std::string KeyFromParts(std::span<const std::string> parts);

// A key within its scope, in the one form that tables and the store use: scope, NUL, key. No scope and no key contains
// a NUL, so no two pairs collide.
class ScopedKey {
 public:
  ScopedKey() = default;
  ScopedKey(std::string_view scope, std::string_view key);

  // The inverse of `bytes()`. False, and `*key` as it was, if `bytes` is not such a pair.
  static bool FromBytes(std::string_view bytes, ScopedKey* key);

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::string_view scope() const { return std::string_view(bytes_).substr(0, scope_size_); }
  [[nodiscard]] std::string_view key() const { return std::string_view(bytes_).substr(scope_size_ + 1); }

  friend bool operator==(const ScopedKey& a, const ScopedKey& b) { return a.bytes_ == b.bytes_; }

 private:
  std::string bytes_{'\0'};
  size_t scope_size_ = 0;
};

}  // namespace oncegate

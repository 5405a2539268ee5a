#include "base/hash.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace oncegate {
namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Fetching the algorithm costs more than hashing a small webhook, hence once a process.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* const kAlgorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kAlgorithm;
}

void Check(bool ok) {
  if (!ok) std::abort();  // only out of memory or a broken OpenSSL gets here; a wrong digest must not leave
}

uint64_t ProcessSeed() {
  static const uint64_t kSeed = [] {
    uint64_t seed = 0;
    RandomBytes(&seed, sizeof seed);
    return seed;
  }();
  return kSeed;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Sha256Digest Sha256OfParts(std::initializer_list<std::string_view> parts) {
  thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  Check(EVP_DigestInit_ex2(context.get(), Sha256Algorithm(), nullptr) == 1);
  for (std::string_view part : parts) {
    std::array<uint8_t, 8> length{};
    for (size_t i = 0; i < length.size(); ++i)
      length[i] = static_cast<uint8_t>(static_cast<uint64_t>(part.size()) >> (8 * (7 - i)));
    Check(EVP_DigestUpdate(context.get(), length.data(), length.size()) == 1);
    Check(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  }
  Sha256Digest digest{};
  Check(EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1);
  return digest;
}

uint64_t ShardHash(std::string_view bytes) {
  // std::hash is MurmurHash2 over the bytes; the seed goes through a multiply-xor round of its own.
  uint64_t hash = std::hash<std::string_view>{}(bytes) ^ ProcessSeed();
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  return hash;
}

std::string ToHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

bool FromHex(std::string_view hex, std::string* bytes) {
  if (hex.size() % 2 != 0) return false;
  std::string decoded;
  decoded.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexValue(hex[i]);
    const int low = HexValue(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    decoded.push_back(static_cast<char>(high * 16 + low));
  }
  *bytes = std::move(decoded);
  return true;
}

namespace {

void FromKernel(uint8_t* next, size_t size) {
  while (size > 0) {
    const ssize_t got = getrandom(next, size, 0);
    if (got <= 0) {
      if (got < 0 && errno == EINTR) continue;
      std::abort();
    }
    next += got;
    size -= static_cast<size_t>(got);
  }
}

// Bytes that the kernel gave in advance, because a call for sixteen costs as much as one for all of these.
struct RandomStock {
  std::array<uint8_t, 256> bytes;
  size_t left = 0;
};

}  // namespace

void RandomBytes(void* out, size_t size) {
  thread_local RandomStock stock;
  auto* const bytes = static_cast<uint8_t*>(out);
  if (size > stock.bytes.size() / 4) return FromKernel(bytes, size);
  if (size > stock.left) {
    FromKernel(stock.bytes.data(), stock.bytes.size());
    stock.left = stock.bytes.size();
  }
  uint8_t* const taken = stock.bytes.data() + stock.left - size;
  std::memcpy(bytes, taken, size);
  // Nobody finds a token here that was given out.
  std::memset(taken, 0, size);
  stock.left -= size;
}

}  // namespace oncegate

#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace oncegate {

using Sha256Digest = std::array<uint8_t, 32>;

// SHA-256 (FIPS 180-4) of the parts, each preceded by its length as eight big-endian bytes, so that no two lists of
// parts hash alike. Thread-safe; allocates nothing after a thread's first call.
Sha256Digest Sha256OfParts(std::initializer_list<std::string_view> parts);

// A fast 64-bit hash to spread keys over shards. Not for storage: the value changes with every process.
uint64_t ShardHash(std::string_view bytes);

// Lower-case hexadecimal.
std::string ToHex(std::string_view bytes);
// False, and `*bytes` as it was, unless `hex` is an even number of hexadecimal digits of either case.
bool FromHex(std::string_view hex, std::string* bytes);

// Fills with bytes from the kernel's random generator (getrandom). Ends the process if the kernel has none to give:
// a token that can be guessed would be worse.
void RandomBytes(void* out, size_t size);

}  // namespace oncegate

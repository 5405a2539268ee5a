#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

// Numbers and strings as the store writes them: numbers big-endian, so that keys sort as their numbers do; lengths as
// varints (seven bits a byte, lowest first); strings as length and bytes.
namespace oncegate::store {

template <std::unsigned_integral T>
void PutBig(std::string* out, T value) {
  for (size_t i = sizeof(T); i-- > 0;) out->push_back(static_cast<char>(static_cast<uint8_t>(value >> (8 * i))));
}

inline void PutTime(std::string* out, int64_t ms) {
  PutBig(out, static_cast<uint64_t>(ms));
}

inline void PutVarint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(static_cast<uint8_t>(value | 0x80)));
  out->push_back(static_cast<char>(static_cast<uint8_t>(value)));
}

inline void PutString(std::string* out, std::string_view text) {
  PutVarint(out, text.size());
  out->append(text);
}

template <size_t N>
void PutArray(std::string* out, const std::array<uint8_t, N>& bytes) {
  out->append(reinterpret_cast<const char*>(bytes.data()), N);
}

// Takes such values off the front of some bytes. The first that is not there makes the reader fail: `ok()` is false
// from then on, and everything read is zero or empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

  std::string_view Bytes(size_t size) {
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  template <std::unsigned_integral T>
  T Big() {
    T value = 0;
    for (const char c : Bytes(sizeof(T))) value = static_cast<T>((uint64_t{value} << 8) | static_cast<uint8_t>(c));
    return value;
  }

  int64_t Time() { return static_cast<int64_t>(Big<uint64_t>()); }

  uint64_t Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const auto byte = Big<uint8_t>();
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return ok_ ? value : 0;
    }
    ok_ = false;
    return 0;
  }

  std::string_view String() {
    const uint64_t size = Varint();
    return Bytes(size);
  }

  template <size_t N>
  std::array<uint8_t, N> Array() {
    std::array<uint8_t, N> out{};
    const std::string_view taken = Bytes(N);
    for (size_t i = 0; i < taken.size(); ++i) out[i] = static_cast<uint8_t>(taken[i]);
    return out;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace oncegate::store

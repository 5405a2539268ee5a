#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace oncegate {

// What to do with a key that comes again with a different request.
enum class MismatchPolicy : uint8_t { kReject, kReplay };
// What to do while another delivery of the key is being executed.
enum class InFlightPolicy : uint8_t { kWait, kReject };
// What to do when an earlier attempt may or may not have taken effect.
enum class UnknownPolicy : uint8_t { kHold, kRelease };
enum class MissingKeyPolicy : uint8_t { kPass, kReject, kHash };
enum class StoreErrorPolicy : uint8_t { kReject, kForward };
enum class Mode : uint8_t { kWebhook, kApi };
// Off: a pure proxy. Shadow: decide and count, change no answer.
enum class Dedupe : uint8_t { kOn, kOff, kShadow };

// "on", "off", "shadow".
std::string_view DedupeName(Dedupe dedupe);

// A set of HTTP statuses, 100 to 599.
class StatusSet {
 public:
  // A list such as "2xx,4xx,!429": applied from left to right, '!' takes out. InvalidArgument for anything else, and
  // for a list that names nothing.
  static Result<StatusSet> Parse(std::string_view list);
  // The statuses that are an outcome by default: 2xx for webhooks; for APIs all but those that ask for a retry or for
  // credentials (401, 403, 407, 408, 409, 425, 429, 502, 503, 504).
  static StatusSet DefaultFinal(Mode mode);

  [[nodiscard]] bool Contains(int status) const { return status >= 100 && status < 600 && bits_[Index(status)]; }

  friend bool operator==(const StatusSet&, const StatusSet&) = default;

 private:
  static size_t Index(int status) { return static_cast<size_t>(status - 100); }
  std::bitset<500> bits_;
};

}  // namespace oncegate

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "webhook/profile.h"
#include "webhook/request.h"

namespace oncegate {

// Why a request is refused; the names are values of a metric's label.
enum class SignatureReason : uint8_t {
  kNone,                // it is not refused
  kMissing,             // no signature, or a signed part is absent
  kMalformed,           // the signature cannot be read
  kMismatch,            // it is another one
  kBodyMismatch,        // the signature is right, but the body is not the one that it speaks of
  kCertificate,         // the signer's certificate is not to be trusted
  kTimestampMalformed,  // the signed time cannot be read
  kTimestampOld,
  kTimestampNew,
  kCount,
};
std::string_view SignatureReasonName(SignatureReason reason);

struct SignatureVerdict {
  SignatureReason reason = SignatureReason::kMissing;
  std::string detail;  // one sentence for operators: never a secret, a signature, or what a right one would be
  // What was signed, in one normal form; only where the profile's replay guard asks for it.
  std::string signed_content;

  [[nodiscard]] bool valid() const { return reason == SignatureReason::kNone; }
  // Whether only the time is wrong.
  [[nodiscard]] bool expired() const {
    return reason == SignatureReason::kTimestampOld || reason == SignatureReason::kTimestampNew;
  }
};

// What operators say about a provider.
struct VerifierOptions {
  std::optional<int64_t> tolerance_ms;  // instead of the profile's; 0: the time is not checked
};

struct VerifyTimes {
  int64_t now_ms = 0;
  // When certificates have to be valid. Nothing: at the time that the message itself says.
  std::optional<int64_t> certificates_ms;
};

struct CompiledScheme;

// Says whether requests are signed by one provider with one of several secrets. Immutable; may be used from any thread.
class SignatureVerifier {
 public:
  static constexpr size_t kSecretsMax = 32;
  static constexpr size_t kSecretsFileBytesMax = 256 * 1024;
  static constexpr size_t kCandidatesMax = 32;  // signatures that one request offers

  // `secrets` is the content of a secret file: one secret a line as it stands, a block of PEM counting as one; empty
  // lines are skipped. InvalidArgument, with a message that holds no secret, if there is none, there are too many, or
  // one is of no form that the provider uses. `profile` outlives the verifier.
  static Result<SignatureVerifier> Create(const Profile& profile, std::string_view secrets,
                                          const VerifierOptions& options);
  ~SignatureVerifier();
  SignatureVerifier(SignatureVerifier&& other) noexcept;
  SignatureVerifier& operator=(SignatureVerifier&& other) noexcept;

  [[nodiscard]] SignatureVerdict Verify(RequestReader& request, const VerifyTimes& times) const;

 private:
  explicit SignatureVerifier(const Profile& profile);
  static SignatureVerdict VerifySpecial(const CompiledScheme& compiled, RequestReader& request,
                                        const VerifyTimes& times);
  const Profile* profile_;
  std::vector<CompiledScheme> schemes_;
};

// The secrets of a file, in order.
Result<std::vector<std::string>> SplitSecrets(std::string_view file);

}  // namespace oncegate

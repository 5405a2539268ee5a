// Which sanitizer a test runs under. They are built with Clang (CMakePresets.json); GCC would have to be asked
// otherwise.

#pragma once

namespace oncegate {

#ifdef __has_feature
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
inline constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace oncegate

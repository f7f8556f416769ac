// How this build was made, for tests that repeat less where everything takes longer.
#pragma once

namespace chainring::test {

inline constexpr bool with_sanitizer =
#ifdef __has_feature
    __has_feature(address_sanitizer) ||
#endif
    false;
// Without it, and with sanitizers, everything takes several times as long.
inline constexpr bool optimized =
#ifdef __OPTIMIZE__
    !with_sanitizer;
#else
    false;
#endif

} // namespace chainring::test

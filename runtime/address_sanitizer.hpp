// Whether the address sanitizer watches: then memory is not recycled, so that it sees every use of what is dead.
#pragma once

namespace chainring {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
#elif defined(__has_feature)
inline constexpr bool address_sanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool address_sanitizer = false;
#endif

} // namespace chainring

// Whether the process has a single thread, as a program with one executor has: then nothing need be atomic.
#pragma once

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define CHAINRING_SINGLE_THREADED (__libc_single_threaded != 0)
#else // musl
#define CHAINRING_SINGLE_THREADED false
#endif

namespace chainring {

// What glibc's and the C++ library's own locks and counts ask.
inline bool single_threaded() noexcept {
    return CHAINRING_SINGLE_THREADED;
}
#undef CHAINRING_SINGLE_THREADED

} // namespace chainring

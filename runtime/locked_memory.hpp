// The locked memory of a ring that was closed counts against the user's limit until a worker of the kernel has
// torn it down, some milliseconds later. So what needs such memory is tried for a while.
#pragma once

#include <time.h>

#include <cerrno>

namespace chainring {

// `call` returns a negative errno when it fails.
template <class Call> int once_memory_is_back(Call&& call) noexcept {
    constexpr int most_tries = 50;
    constexpr timespec pause{.tv_sec = 0, .tv_nsec = 2'000'000};
    int returned = call();
    for (int tries = 1; returned == -ENOMEM && tries < most_tries; ++tries) {
        ::nanosleep(&pause, nullptr);
        returned = call();
    }
    return returned;
}

} // namespace chainring

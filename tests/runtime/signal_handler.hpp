// What a signal does to the process at the moment.
#pragma once

#include <signal.h>

namespace chainring::test {

inline auto handler_of(int signal) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    return action.sa_handler;
}

} // namespace chainring::test

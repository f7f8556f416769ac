// Blocking work that a test holds and lets go, and how its await ended.
#pragma once

#include <chainring/runtime/offload.hpp>

#include <atomic>
#include <semaphore>
#include <utility>

namespace chainring::test {

// Work that tells when it runs, and goes on when it is let.
struct held_work {
    std::binary_semaphore running{0};
    std::binary_semaphore may_end{0};
    std::atomic<bool> ended = false;

    int operator()() {
        running.release();
        may_end.acquire();
        ended = true;
        return 7;
    }
};

// How an offloaded function ended.
struct outcome {
    bool resumed = false;
    result<int> value = failure(errc::never_started);
};

template <class Function> task<> store(blocking_pool& pool, Function function, outcome& to) {
    to.value = co_await offload(pool, std::move(function));
    to.resumed = true;
}

inline auto running(held_work& work) {
    return [&work] { return work(); };
}

} // namespace chainring::test

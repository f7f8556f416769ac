#include <chainring/runtime/fork_guard.hpp>

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace chainring {

constinit std::atomic<std::uint32_t> fork_guard::generation_ = 0;

fork_guard::fork_guard() {
    struct counts_forks {
        counts_forks() noexcept {
            ::pthread_atfork(nullptr, nullptr, [] { generation_.fetch_add(1, std::memory_order_relaxed); });
        }
    };
    static const counts_forks once;
    made_in_ = generation_.load(std::memory_order_relaxed);
}

const char* fork_guard::text() noexcept {
    return "chainring: this process was forked from the one that has made the executor, whose ring and "
           "threads stay with "
           "that; make an executor here, or exec(3) or _exit(2) first";
}

void fork_guard::end_child() noexcept {
    // What a signal handler may call.
    (void)!::write(STDERR_FILENO, text(), std::strlen(text()));
    (void)!::write(STDERR_FILENO, "\n", 1);
    std::abort();
}

} // namespace chainring

// What lock-free code asks of the machine: atomics, and a fence of which one side pays for both. Another one in tests, which try
// every order of its operations (tests/sync/interleavings.hpp).
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#define CHAINRING_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CHAINRING_PAUSE() asm volatile("yield")
#else
#define CHAINRING_PAUSE() static_cast<void>(0)
#endif

namespace chainring {

struct machine_memory {
    template <class T> using atomic = std::atomic<T>;
    using mutex = std::mutex;

    // Between a store and a load of something else, where the other side does the same with fence_everywhere between: one of
    // them, or both, see what the other one has stored. For what is done often: it costs nothing.
    static void fence_here() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }
    // For what is done seldom: membarrier(2), a microsecond or some for every processor that runs this program.
    static void fence_everywhere() noexcept;
    // False: the kernel has none, and fence_everywhere must not be called.
    static bool has_fence_everywhere() noexcept;
    static constexpr unsigned fence_is_worth =
        256; // short operations that do without an atomic one of their own

    // What no other thread has that lives now.
    static const void* this_thread() noexcept { return &mark_; }

    // At what another thread is about to change, before a sleep: a microsecond or two.
    static constexpr int most_looks = 100;
    static void pause() noexcept { CHAINRING_PAUSE(); }
    // For what takes another thread some instructions, if it runs.
    template <class Condition> static void wait_until(Condition holds) noexcept {
        for (int look = 0; !holds(); ++look) {
            if (look < most_looks)
                pause();
            else
                std::this_thread::yield();
        }
    }

  private:
    static inline constinit thread_local char mark_ = 0;
};

} // namespace chainring

#undef CHAINRING_PAUSE

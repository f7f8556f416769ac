// A lock that is held for so short that whoever finds it taken by another thread looks again, a few times, before it sleeps:
// the sleep costs more than a hundred times what it waits for. In a process with a single thread it costs no atomic operation.
#pragma once

#include <chainring/sync/single_threaded.hpp>

#include <mutex>

#if defined(__x86_64__) || defined(__i386__)
#define CHAINRING_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CHAINRING_PAUSE() asm volatile("yield")
#else
#define CHAINRING_PAUSE() static_cast<void>(0)
#endif

namespace chainring {

class short_mutex {
  public:
    void lock() noexcept {
        if (single_threaded()) return mutex_.lock(); // std::mutex knows that too
        for (int look = 0; look < most_looks; ++look) {
            if (mutex_.try_lock()) [[likely]]
                return;
            pause();
        }
        mutex_.lock();
    }
    void unlock() noexcept { mutex_.unlock(); }

  private:
    static constexpr int most_looks = 100; // about a microsecond

    static void pause() noexcept { CHAINRING_PAUSE(); }

    std::mutex mutex_;
};

} // namespace chainring

#undef CHAINRING_PAUSE

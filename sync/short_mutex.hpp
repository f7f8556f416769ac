// A lock that is held for some instructions, by threads most of which are alone with it.
//
//     shared  -> kept     by a thread that was the only one to take it for some time. What it does with it from then on are
//                         ordinary loads and stores, where an atomic operation would cost more than all the rest
//     kept    -> shared   by the next thread that comes, which waits until the keeper is out of it
//
// The keeper says that it is inside, and then looks whether it is the keeper still; who ends that says so, and then looks whether
// the keeper is inside. With a fence on both sides (machine_memory) one of them sees the other. Only the first keeper may become
// one again: another one could not tell the steps of the first, which has not noticed yet, from its own.
//
// Whoever finds it taken by another thread looks again, a few times, before it sleeps: the sleep costs more than a hundred times
// what it waits for.
#pragma once

#include <chainring/runtime/machine_memory.hpp>
#include <chainring/sync/single_threaded.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace chainring {

// Memory: another one in tests, which try every order of its operations.
template <class Memory> class short_mutex_over {
  public:
    // A short life among other threads is too short to find out who is alone; a process with a single thread is alone.
    short_mutex_over() noexcept
        : short_mutex_over(single_threaded() ? 0 : Memory::fence_is_worth) {}
    explicit short_mutex_over(std::uint32_t uses_alone) noexcept
        : uses_alone_(Memory::has_fence_everywhere() ? uses_alone : never) {}

    void lock() noexcept {
        const void* const me = Memory::this_thread();
        if (keeper_.load(std::memory_order_relaxed) == me) {
            inside_.store(true, std::memory_order_relaxed);
            Memory::fence_here();
            if (keeper_.load(std::memory_order_relaxed) == me) [[likely]] {
                kept_ = true;
                return;
            }
            inside_.store(false, std::memory_order_release);
        }
        lock_shared(me);
    }
    void unlock() noexcept {
        if (kept_) [[likely]] {
            kept_ = false;
            inside_.store(false, std::memory_order_release); // the last touch: it may be gone after that
            return;
        }
        unlock_shared();
    }

  private:
    static constexpr std::uint32_t never = std::numeric_limits<std::uint32_t>::max();

    // Out of the way of what the keeper does, which is inlined.
    [[gnu::noinline]] void lock_shared(const void* me) noexcept {
        if (!taken_soon()) mutex_.lock();
        if (keeper_.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
            end_keeping();
        if (last_user_ != me) uses_ = 0;
        last_user_ = me;
        if (uses_ != never - 1) ++uses_;
    }
    [[gnu::noinline]] void unlock_shared() noexcept {
        if (uses_ >= uses_alone_ && (first_keeper_ == nullptr || first_keeper_ == last_user_)) {
            first_keeper_ = last_user_;
            keeper_.store(last_user_, std::memory_order_release);
        }
        mutex_.unlock();
    }
    bool taken_soon() noexcept {
        if (single_threaded()) return false;
        // Ever more rarely: each look takes the memory away from who is inside, and may be inside again before the next.
        for (int pauses = 1; pauses < Memory::most_looks; pauses *= 2) {
            if (mutex_.try_lock()) [[likely]]
                return true;
            for (int count = 0; count < pauses; ++count) Memory::pause();
        }
        return false;
    }
    void end_keeping() noexcept {
        keeper_.store(nullptr, std::memory_order_relaxed);
        Memory::fence_everywhere();
        Memory::wait_until([this] { return !inside_.load(std::memory_order_acquire); });
        // Many uses have to be worth the fence.
        uses_alone_ = static_cast<std::uint32_t>(
            std::min(uses_alone_ * std::uint64_t{16} + Memory::fence_is_worth, std::uint64_t{never}));
    }

    typename Memory::mutex mutex_;
    typename Memory::template atomic<const void*> keeper_ = nullptr;
    typename Memory::template atomic<bool> inside_ = false; // the keeper
    bool kept_ = false;        // by whom it is held; this and the rest with the lock
    std::uint32_t uses_ = 0;   // of its last user, in a row
    std::uint32_t uses_alone_; // so many make it the keeper
    const void* last_user_ = nullptr;
    const void* first_keeper_ = nullptr;
};

using short_mutex = short_mutex_over<machine_memory>;

} // namespace chainring

// once: a task that is run by the first one that needs its effect, while the others wait for its end.
//
//     cr::once connected;
//     co_await cr::try_(connected.call([&] { return connect(); }));
#pragma once

#include <chainring/runtime/task.hpp>
#include <chainring/runtime/try.hpp>
#include <chainring/sync/mutex.hpp>

#include <atomic>
#include <concepts>

namespace chainring {

class once final {
  public:
    once() noexcept = default;

    // The task has run to its end, without an error.
    bool done() const noexcept { return done_.load(std::memory_order_acquire); }

    // completes when: a task that `make()` returned, a task<> or a task<result<void>>, has run to its end without an error, by
    //                 this call or another one; at once if it has. If one fails, the next call that waits runs its own
    // errors:         those of the task that this call has run, its exceptions too; errc::cancelled
    // cancellation:   of the wait at once; a task that this call runs is cancelled with it
    // ownership:      the once must outlive it; it owns `make`
    // thread:         any executor's; the task goes on on its own
    template <std::invocable Make> task<result<void>> call(Make make) {
        if (done()) co_return result<void>();
        const scoped_lock running = co_await try_(running_.lock());
        if (done()) co_return result<void>();
        if constexpr (std::same_as<std::invoke_result_t<Make&>, task<result<void>>>)
            co_await try_(make());
        else
            co_await make();
        done_.store(true, std::memory_order_release);
        co_return result<void>();
    }

  private:
    std::atomic<bool> done_ = false;
    mutex running_;
};

} // namespace chainring

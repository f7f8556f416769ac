// mutex: one task at a time, on whatever executor.
//
//     cr::mutex lock;
//     cr::task<cr::result<void>> change() {
//         const cr::scoped_lock held = co_await cr::try_(lock.lock());
//         co_await ...                                  // the lock is held across it
//         co_return {};
//     }
//
// Tasks get it in the order of asking: a task that asks stands behind all who wait, and the one that holds it hands it to the
// first of them. What never awaits while it holds a lock, and is on one executor, needs none; on several, a std::mutex.
#pragma once

#include <chainring/sync/permits.hpp>

#include <optional>

namespace chainring {

// Unlocks when it is destroyed, or by `release()`; on any thread.
using scoped_lock = permit;

// Not recursive: a task that asks for what it holds waits for ever. Destroying it while tasks wait for it is an error, which
// builds with assertions report with their names, and others only log.
class mutex final {
  public:
    mutex() noexcept = default;

    // completes when: the task holds the lock; at once if it is free
    // errors:         errc::cancelled: the task does not hold it
    // cancellation:   at once; a lock that was handed over by then is the task's
    // ownership:      the mutex must outlive it and the lock
    // thread:         any executor's; the task goes on on its own
    acquire_operation lock() noexcept { return {one_, 1, "lock of a mutex"}; }
    // Nothing if somebody holds it. Any thread.
    std::optional<scoped_lock> try_lock() noexcept {
        if (!one_.try_take(1)) return std::nullopt;
        return scoped_lock(one_, 1);
    }

  private:
    permits one_{"mutex", 1, 1};
};

} // namespace chainring

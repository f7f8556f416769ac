// shared_mutex: many readers or one writer, on whatever executors.
//
//     const cr::scoped_lock reading = co_await cr::try_(lock.lock_shared());
//     const cr::scoped_lock writing = co_await cr::try_(lock.lock());
//
// Readers and writers get it in the order of asking: a reader that comes when a writer waits stands behind that one, so that
// neither starves the other. Hence a reader must not ask a second time while it reads.
#pragma once

#include <chainring/sync/mutex.hpp>

namespace chainring {

class shared_mutex final {
  public:
    shared_mutex() noexcept = default;

    // completes when: the task is the only one that holds the lock; at once if it is free
    // errors:         errc::cancelled: the task does not hold it
    // cancellation:   at once; a lock that was handed over by then is the task's
    // ownership:      the mutex must outlive it and the lock
    // thread:         any executor's; the task goes on on its own
    acquire_operation lock() noexcept { return {readers_, all, "lock of a shared mutex"}; }
    // The same beside other readers; at once if nobody writes and nobody waits.
    acquire_operation lock_shared() noexcept { return {readers_, 1, "shared lock of a shared mutex"}; }

    // Any thread.
    std::optional<scoped_lock> try_lock() noexcept { return try_take(all); }
    std::optional<scoped_lock> try_lock_shared() noexcept { return try_take(1); }

  private:
    static constexpr std::uint32_t all = permits::unlimited; // more readers than memory has tasks

    std::optional<scoped_lock> try_take(std::uint32_t count) noexcept {
        if (!readers_.try_take(count)) return std::nullopt;
        return scoped_lock(readers_, count);
    }

    permits readers_{"shared mutex", all, all};
};

} // namespace chainring

// condition: a task lets go of a mutex until another one has changed what the mutex guards.
//
//     cr::scoped_lock held = co_await cr::try_(lock.lock());
//     co_await cr::try_(not_empty.wait(held, [&] { return !queue.empty(); }));
#pragma once

#include <chainring/runtime/cancellation.hpp>
#include <chainring/runtime/task.hpp>
#include <chainring/runtime/try.hpp>
#include <chainring/sync/mutex.hpp>

#include <cassert>
#include <concepts>

namespace chainring {

class condition final : private monitor {
  public:
    condition() noexcept = default;

    // completes when: it was notified, and the task holds the lock again. Others may have held it between the two: give a
    //                 predicate, or look again
    // errors:         errc::cancelled, with the lock held again too
    // cancellation:   ends the wait, but not that for the lock; a notification that came before it is the task's
    // ownership:      the condition, the lock and its mutex must outlive it; the lock may be one of a shared_mutex
    // thread:         any executor's; the task goes on on its own
    task<result<void>> wait(scoped_lock& held) {
        assert(held);
        permits& of = *held.of_;
        const std::uint32_t count = held.count_;
        const result<void> notified = co_await notification(*this, held);
        if (held) co_return notified; // it never waited
        result<permit> again = co_await shield(acquire_operation(of, count, "lock, behind a condition"));
        held = std::move(*again);
        co_return notified;
    }
    // The same until `satisfied()`, which is called with the lock held, and first before any wait.
    template <std::predicate Satisfied> task<result<void>> wait(scoped_lock& held, Satisfied satisfied) {
        while (!satisfied()) co_await try_(wait(held));
        co_return result<void>();
    }

    // Lets the first task go that waits, if there is one; a notification is not kept. Any thread, with the lock or without.
    void notify_one() noexcept {
        const std::lock_guard hold(lock());
        if (!waiting_.empty()) waiting_.pop_front().let_go({});
    }
    void notify_all() noexcept {
        const std::lock_guard hold(lock());
        waiting_.let_all_go();
    }

  private:
    class notification final : public operation<notification, queued_waiter<>> {
      public:
        notification(condition& of, scoped_lock& held) noexcept
            : operation(static_cast<monitor&>(of))
            , of_(of)
            , held_(held) {}
        notification(notification&&) noexcept = default;
        ~notification() {
            if (end()) [[unlikely]]
                of_.notify_one(); // it was for one that waits
        }

        bool start(executor& home) noexcept {
            {
                const std::lock_guard hold(of_.lock());
                of_.waiting_.push_back(*this);
                waits(home);
            }
            held_.release(); // in line already: what changes from here on is notified
            return true;
        }
        void describe(task_tree& to) const override { to.waits("condition"); }
        result<void> await_resume() noexcept {
            if (const fault refused = take_outcome()) return failure(refused);
            return {};
        }

      private:
        condition& of_;
        scoped_lock& held_;
    };

    wait_queue<> waiting_{*this, "condition"};
};

} // namespace chainring

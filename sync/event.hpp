// event: something that has happened, for all who wait for it, until it is reset. auto_reset_event: something that has happened
// for one of them.
//
//     cr::event ready;
//     ready.set();                                // from any thread
//     co_await cr::try_(ready.wait());
#pragma once

#include <chainring/sync/permits.hpp>
#include <chainring/sync/wait_operation.hpp>

#include <atomic>

namespace chainring {

class event final : private monitor {
  public:
    explicit event(bool is_set = false) noexcept
        : set_(is_set) {}

    // Lets all go that wait, and those that come before the next `reset`. Any thread.
    void set() noexcept {
        if (is_set()) return;
        const std::lock_guard hold(lock());
        set_.store(true, std::memory_order_release);
        waiting_.let_all_go();
    }
    void reset() noexcept { set_.store(false, std::memory_order_release); } // any thread
    bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }

    // completes when: the event is set, also if it is reset before the task goes on; at once if it is set
    // errors:         errc::cancelled
    // cancellation:   at once
    // ownership:      the event must outlive it
    // thread:         any executor's; the task goes on on its own
    wait_operation<event> wait() noexcept { return {*this, "event"}; }

  private:
    friend wait_operation<event>;
    friend class latch;

    bool passes() const noexcept { return is_set(); }
    bool enter(queued& waiting) noexcept {
        if (is_set()) return true;
        waiting_.push_back(waiting);
        return false;
    }

    std::atomic<bool> set_;
    wait_queue<> waiting_{*this, "event"};
};

class auto_reset_event;

class [[nodiscard("co_await it")]] auto_reset_wait : public acquire_operation {
  public:
    using acquire_operation::acquire_operation;
    result<void> await_resume() noexcept {
        result<permit> taken = acquire_operation::await_resume();
        if (!taken) return failure(taken.error());
        taken->forget();
        return {};
    }
};

class auto_reset_event final {
  public:
    explicit auto_reset_event(bool is_set = false) noexcept
        : set_("auto-reset event", is_set ? 1 : 0, 1) {}

    // Lets the first go that waits; if there is none, the next one that comes. Setting it a second time before that is as
    // setting it once. Any thread.
    void set() noexcept { set_.give(1); }
    // Any thread. True: it was set.
    bool try_wait() noexcept { return set_.try_take(1); }

    // completes when: the event is set, which it is no more then; at once if it is set
    // errors:         errc::cancelled: the event is for another one
    // cancellation:   at once; an event that was set for the task by then is its own
    // ownership:      the event must outlive it
    // thread:         any executor's; the task goes on on its own
    auto_reset_wait wait() noexcept { return {set_, 1, "auto-reset event"}; }

  private:
    permits set_;
};

} // namespace chainring

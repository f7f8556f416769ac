// sleep and sleep_until: timers as awaitables. The node lies in the coroutine; nothing is allocated.
#pragma once

#include <chainring/runtime/operation.hpp>

#include <chrono>

namespace chainring {

class [[nodiscard("co_await it")]] sleep_operation : public operation<sleep_operation>, private timer {
  public:
    explicit sleep_operation(time_point deadline) noexcept
        : deadline_(deadline)
        , relative_(false) {}
    explicit sleep_operation(duration delay) noexcept
        : delay_(delay)
        , relative_(true) {}
    sleep_operation(sleep_operation&& other) noexcept
        : operation(std::move(other))
        , deadline_(other.deadline_)
        , delay_(other.delay_)
        , relative_(other.relative_) {}

    bool start(executor& home) noexcept {
        home_ = &home;
        // From now, not from the turn's beginning: a task may have run for long since.
        const time_point now = home.behind().now();
        if (relative_) deadline_ = delay_ < time_point::max() - now ? now + delay_ : time_point::max();
        if (deadline_ <= now) {
            home.behind().about_to_be_late(deadline_);
            deadline_ = {}; // it does not wait for the current tick to end
        }
        home.timers().arm(*this, deadline_);
        return true;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override {
        if (!armed()) return;
        cancel_timer();
        error_ = errc::cancelled;
        home_->ready().push(*this);
    }
    void describe(task_tree& to) const override { to.waits("sleep"); }
    result<void> await_resume() const noexcept {
        if (error_) return failure(error_);
        return {};
    }

  private:
    void fire() noexcept override { home_->ready().push(*this); }

    time_point deadline_{};
    duration delay_{};
    bool relative_;
    executor* home_ = nullptr;
    fault error_;
};

// completes when: the time has come, at the latest 65.5 microseconds after, on an executor that is not busy; a
//                 delay of zero or less and a time in the past complete in the next turn
// errors:         errc::cancelled
// cancellation:   at once
// ownership:      nothing
// thread:         the executor's
template <class Rep, class Period> sleep_operation sleep(std::chrono::duration<Rep, Period> delay) noexcept {
    return sleep_operation(saturated(delay));
}
inline sleep_operation sleep_until(time_point deadline) noexcept {
    return sleep_operation(deadline);
}

} // namespace chainring

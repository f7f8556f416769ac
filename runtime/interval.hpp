// interval: a tick every so often.
//
//     cr::interval every_second(1s);
//     while (co_await every_second.tick()) report();
//
// Ticks are due at fixed times, so that they do not drift by the time that the work takes.
#pragma once

#include <chainring/runtime/sleep.hpp>

#include <algorithm>
#include <cstdint>
#include <stdexcept>

namespace chainring {

// What happens to ticks that were due while nobody waited for them.
enum class missed_ticks : std::uint8_t {
    burst, // each of them completes at once, until the ticks have caught up
    skip,  // they are left out; the next one is where it would have been
    delay, // the next one is a whole period after the one that was late, and all that follow are from there
};

class interval {
  public:
    class tick_operation;

    // The first tick is due a period from now. Throws std::invalid_argument unless the period is positive.
    template <class Rep, class Period>
    explicit interval(std::chrono::duration<Rep, Period> period, missed_ticks missed = missed_ticks::burst)
        : interval(later(clock().now(), saturated(period)), saturated(period), missed) {}
    interval(time_point first, duration period, missed_ticks missed = missed_ticks::burst)
        : next_(std::max(first, time_point())) // the clock begins there
        , period_(period)
        , missed_(missed) {
        if (period <= duration::zero())
            throw std::invalid_argument("the period of an interval must be positive");
    }

    // completes when: the next tick is due; at once if it was already
    // value:          when it was due
    // errors:         errc::cancelled: the tick is still to come
    // cancellation:   at once
    // ownership:      the interval must outlive it
    // thread:         the executor's; one task at a time
    tick_operation tick() noexcept;

  private:
    static kernel& clock() noexcept {
        executor* home = executor::current();
        return home != nullptr ? home->behind() : linux_kernel();
    }

    // Or the end of time.
    static time_point later(time_point from, duration by) noexcept {
        return by < time_point::max() - from ? from + by : time_point::max();
    }

    time_point ticked() noexcept {
        const time_point due = next_;
        const time_point now = clock().now();
        switch (missed_) {
        case missed_ticks::burst: next_ = later(due, period_); break;
        case missed_ticks::skip:
            next_ = later(due + period_ * (std::max(now - due, duration::zero()) / period_), period_);
            break;
        case missed_ticks::delay: next_ = later(now - due < period_ ? due : now, period_); break;
        }
        return due;
    }

    time_point next_;
    duration period_;
    missed_ticks missed_;
};

class [[nodiscard("co_await it")]] interval::tick_operation : public sleep_operation {
  public:
    explicit tick_operation(interval& of) noexcept
        : sleep_operation(of.next_)
        , interval_(of) {}

    result<time_point> await_resume() const noexcept {
        const result<void> slept = sleep_operation::await_resume();
        if (!slept) return failure(slept.error());
        return interval_.ticked();
    }

  private:
    interval& interval_;
};

inline interval::tick_operation interval::tick() noexcept {
    return tick_operation(*this);
}

} // namespace chainring

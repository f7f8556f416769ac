// rate_limiter: so many at a time on average, and a few more at once after a pause: a token bucket.
//
//     cr::rate_limiter a_hundred_a_second(100, 1s, 10);      // and ten at once
//     co_await cr::try_(a_hundred_a_second.acquire());
//
// The bucket is not filled by a timer: what it holds follows from the time at which it would be full. Who asks for more than
// there is reserves a point in time, in the order of asking, and sleeps until then on its own executor.
#pragma once

#include <chainring/runtime/operation.hpp>
#include <chainring/sync/short_mutex.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <stdexcept>

namespace chainring {

class rate_limiter final {
  public:
    class acquire_tokens;

    // The bucket is full at first. Throws std::invalid_argument unless all are positive, and for a bucket that takes more than
    // a century to fill. A token takes a whole number of nanoseconds, rounded up.
    rate_limiter(std::uint32_t tokens, duration period, std::uint32_t burst)
        : of_a_token_(time_of_a_token(tokens, period))
        , burst_(burst) {
        constexpr duration century = std::chrono::hours(24) * 36'525;
        if (burst == 0 || of_a_token_ > century / burst)
            throw std::invalid_argument("a rate limiter's bucket must be filled within a century");
    }
    rate_limiter(const rate_limiter&) = delete;
    rate_limiter& operator=(const rate_limiter&) = delete;

    // completes when: the tokens are there, and those of all who asked before have been; at once, or as `sleep` does
    // errors:         std::errc::invalid_argument: more than the bucket holds; errc::cancelled: it took none
    // cancellation:   at once; who asks afterwards may have its tokens, who waits already is not brought forward
    // ownership:      the limiter must outlive it
    // thread:         any executor's; the task goes on on its own
    acquire_tokens acquire(std::uint32_t count = 1) noexcept;
    // False: they are not there now. Any thread.
    bool try_acquire(std::uint32_t count = 1) noexcept {
        if (count > burst_) return false;
        executor* const home = executor::current();
        const time_point now = (home != nullptr ? home->behind() : linux_kernel()).now();
        const std::lock_guard hold(mutex_);
        const time_point full = after(now, count);
        if (full - of_a_token_ * burst_ > now) return false;
        full_at_ = full;
        return true;
    }

  private:
    static duration time_of_a_token(std::uint32_t tokens, duration period) {
        if (tokens == 0 || period <= duration::zero())
            throw std::invalid_argument("the rate of a rate limiter must be positive");
        return period / tokens + duration(period % tokens != duration::zero() ? 1 : 0);
    }

    // When the bucket is full, if so many are taken now.
    time_point after(time_point now, std::uint32_t count) const noexcept {
        return std::max(full_at_, now) + of_a_token_ * count;
    }
    // When they are there.
    time_point reserve(time_point now, std::uint32_t count) noexcept {
        const std::lock_guard hold(mutex_);
        full_at_ = after(now, count);
        return full_at_ - of_a_token_ * burst_;
    }
    void give_back(std::uint32_t count) noexcept {
        const std::lock_guard hold(mutex_);
        full_at_ -= of_a_token_ * count;
    }

    const duration of_a_token_;
    const std::uint32_t burst_;
    short_mutex mutex_;
    time_point full_at_{};
};

class [[nodiscard("co_await it")]] rate_limiter::acquire_tokens : public operation<acquire_tokens>,
                                                                  private timer {
  public:
    acquire_tokens(rate_limiter& of, std::uint32_t count) noexcept
        : of_(of)
        , count_(count) {}
    acquire_tokens(acquire_tokens&& other) noexcept // before it is awaited
        : operation(std::move(other))
        , of_(other.of_)
        , count_(other.count_) {}
    ~acquire_tokens() { give_back(); }

    bool start(executor& home) noexcept {
        if (count_ > of_.burst_) {
            error_ = fault::from_errno(EINVAL);
            return false;
        }
        home_ = &home;
        const time_point now = home.behind().now();
        const time_point due = of_.reserve(now, count_);
        reserved_ = true;
        if (due <= now) return false;
        home.timers().arm(*this, due);
        return true;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override {
        if (!armed()) return;
        cancel_timer();
        give_back();
        error_ = errc::cancelled;
        home_->ready().push(*this);
    }
    void describe(task_tree& to) const override { to.waits("rate limiter"); }
    result<void> await_resume() noexcept {
        reserved_ = false;
        if (error_) return failure(error_);
        return {};
    }

  private:
    void fire() noexcept override { home_->ready().push(*this); }
    void give_back() noexcept {
        if (std::exchange(reserved_, false)) of_.give_back(count_);
    }

    rate_limiter& of_;
    std::uint32_t count_;
    bool reserved_ = false; // and not used
    executor* home_ = nullptr;
    fault error_;
};

inline rate_limiter::acquire_tokens rate_limiter::acquire(std::uint32_t count) noexcept {
    return {*this, count};
}

} // namespace chainring

// latch: a count that goes down to zero once, and lets all go that wait for that.
//
//     cr::latch started(workers);
//     ... started.count_down(); ...
//     co_await cr::try_(started.wait());
#pragma once

#include <chainring/sync/event.hpp>

#include <atomic>
#include <cassert>
#include <cstdint>

namespace chainring {

class latch final {
  public:
    explicit latch(std::uint32_t count) noexcept
        : left_(count)
        , zero_(count == 0) {}

    // By no more than is left. Any thread.
    void count_down(std::uint32_t by = 1) noexcept {
        const std::uint32_t before = left_.fetch_sub(by, std::memory_order_acq_rel);
        assert(before >= by);
        if (before == by && by != 0) zero_.set(); // and nothing more: whoever goes on may destroy the latch
    }
    bool try_wait() const noexcept { return zero_.is_set(); }

    // completes when: the count is zero; at once if it is
    // errors:         errc::cancelled
    // cancellation:   at once
    // ownership:      the latch must outlive it
    // thread:         any executor's; the task goes on on its own
    wait_operation<event> wait() noexcept { return {zero_, "latch"}; }
    // Counts down, when it is called, and waits.
    wait_operation<event> arrive_and_wait() noexcept {
        count_down();
        return wait();
    }

  private:
    std::atomic<std::uint32_t> left_;
    event zero_;
};

} // namespace chainring

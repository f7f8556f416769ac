// barrier: tasks that wait for one another, again and again.
//
//     cr::barrier each_step(workers);
//     for (...) { compute(); co_await cr::try_(each_step.arrive_and_wait()); }
#pragma once

#include <chainring/sync/wait_operation.hpp>

#include <cassert>
#include <cstdint>

namespace chainring {

class barrier final : private monitor {
  public:
    // The tasks that take part; not zero.
    explicit barrier(std::uint32_t expected) noexcept
        : expected_(expected) {
        assert(expected != 0);
    }

    // completes when: as many tasks wait here as take part; at once for the last one, which lets the others go
    // errors:         errc::cancelled
    // cancellation:   at once, and the task has not arrived: the others go on waiting for it, or for another one in its place,
    //                 unless `leave` says that nobody will come
    // ownership:      the barrier must outlive it
    // thread:         any executor's; the task goes on on its own
    wait_operation<barrier> arrive_and_wait() noexcept { return {*this, "barrier"}; }
    // One task less takes part, from this step on: one that does not wait. Any thread.
    void leave() noexcept {
        const std::lock_guard hold(lock());
        assert(expected_ > arrived_);
        --expected_;
        if (arrived_ == expected_) go_on();
    }

  private:
    friend wait_operation<barrier>;

    bool passes() const noexcept { return false; }
    bool enter(queued& arriving) noexcept {
        if (++arrived_ == expected_) {
            go_on();
            return true;
        }
        waiting_.push_back(arriving);
        return false;
    }
    void left() noexcept override { --arrived_; }
    void go_on() noexcept {
        arrived_ = 0;
        waiting_.let_all_go();
    }

    std::uint32_t expected_;
    std::uint32_t arrived_ = 0;
    wait_queue<> waiting_{*this, "barrier"};
};

} // namespace chainring

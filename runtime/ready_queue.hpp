// The coroutines that may run, in the order in which they became ready.
#pragma once

#include <chainring/runtime/waiter.hpp>

#include <cstdint>

namespace chainring {

class ready_queue {
  public:
    bool empty() const noexcept { return waiting_.empty(); }

    void push(waiter& ready) noexcept { waiting_.push_back(ready); }

    // For one task handing over to another: it runs next.
    void push_next(waiter& ready) noexcept { waiting_.push_front(ready); }

    // Resumes up to `budget` coroutines, so that a task that is always ready cannot starve I/O.
    // Returns how many it resumed.
    unsigned run(unsigned budget) noexcept {
        unsigned resumed = 0;
        while (resumed < budget && !waiting_.empty()) {
            waiting_.pop_front().resume();
            ++resumed;
        }
        return resumed;
    }

    // An awaited task starts on the stack of the one that awaits it, which is fast, but must not go on
    // without end: beyond a depth the child goes through the queue instead.
    bool may_nest() const noexcept { return depth_ < deepest; }
    void enter_nested() noexcept { ++depth_; }
    void leave_nested() noexcept { --depth_; }

  private:
    static constexpr std::uint32_t deepest = 128;

    waiter_list waiting_;
    std::uint32_t depth_ = 0;
};

} // namespace chainring

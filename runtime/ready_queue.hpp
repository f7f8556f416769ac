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
        nest_from_here();
        unsigned resumed = 0;
        while (resumed < budget && !waiting_.empty()) {
            waiting_.pop_front().resume();
            ++resumed;
        }
        return resumed;
    }

    // An awaited task starts on the stack of the one that awaits it, which is fast, but must not go on
    // without end: beyond some bytes of stack the child goes through the queue instead. Measured by address,
    // because a count would be two more stores for every await.
    bool may_nest() const noexcept { return stack_address() > deepest_; }
    void nest_from_here() noexcept { deepest_ = stack_address() - room; }

  private:
    static constexpr std::uintptr_t room = std::uintptr_t{64} * 1024; // bytes

    static std::uintptr_t stack_address() noexcept {
        return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }

    waiter_list waiting_;
    std::uintptr_t deepest_ = 0;
};

} // namespace chainring

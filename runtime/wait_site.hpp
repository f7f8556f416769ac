// Where a coroutine is suspended, and what it waits for there: what executor::dump prints and a debugger finds in a core
// file. A part of each coroutine's promise.
#pragma once

#include <chainring/runtime/kernel.hpp>

#include <coroutine>
#include <source_location>

namespace chainring {

class waiter;

class wait_site {
  public:
    // Writes one member only: awaiting a task that never suspends is a matter of few stores.
    wait_site() noexcept {} // NOLINT(modernize-use-equals-default)

    // For await_suspend, whose default argument is where the co_await stands.
    wait_site& at(std::coroutine_handle<> frame, std::source_location where) noexcept {
        stop_.frame = frame;
        stop_.where = where;
        return *this;
    }
    // The coroutine stays suspended.
    void suspend(waiter& in, time_point since = {}) noexcept {
        waits_for_ = &in;
        stop_.since = since;
    }
    void resume() noexcept {
        waits_for_ = nullptr;
        stop_.frame.resume();
    }
    // It has ended where it was suspended.
    void leave() noexcept { waits_for_ = nullptr; }

    // nullptr: it runs, or is about to.
    waiter* waits_for() const noexcept { return waits_for_; }
    std::source_location where() const noexcept { return stop_.where; } // of the co_await
    time_point since() const noexcept { return stop_.since; }

  private:
    struct stop {
        std::coroutine_handle<> frame;
        std::source_location where;
        time_point since;
    };

    waiter* waits_for_ = nullptr;
    union {
        stop stop_; // while there is something that it waits for
    };
};

} // namespace chainring

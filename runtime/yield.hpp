// yield: a task that computes for long lets the others run.
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/task_tree.hpp>

namespace chainring {

class [[nodiscard("co_await it")]] yield_operation final : public waiter {
  public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(
        std::coroutine_handle<Promise> caller,
        std::source_location where = std::source_location::current()) noexcept {
        suspend(caller, where);
        caller.promise().scope().home().ready().push(*this);
    }
    void await_resume() const noexcept {}
    void cancel() noexcept override {}
};

// completes when: every task that is ready has run. Tasks that yield without end share the executor with its I/O:
//                 a turn resumes no more than `executor_options::budget` of them.
// errors:         none
// cancellation:   does not reach it; ask `cancelled()`
// thread:         the executor's
inline yield_operation yield() noexcept {
    return {};
}

} // namespace chainring

// call_on: a function that runs on another executor, as the way to what belongs to that one.
//
//     auto counting = cr::call_on(shard_of(name), [&] { return ++counters.local()[name]; });
//     const cr::result<long> counted = co_await std::move(counting);
//
// It must not wait: what waits is a task, for spawn_on. With GCC 12 a lambda that captures by value must not stand within the
// co_await: it destroys the captures twice.
#pragma once

#include <chainring/runtime/kept_outcome.hpp>
#include <chainring/runtime/operation.hpp>
#include <chainring/runtime/remote_work.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace chainring {

template <class Function>
class [[nodiscard("co_await it")]] call_on_operation : public operation<call_on_operation<Function>>,
                                                       private remote_work {
  public:
    using outcome = kept_outcome<Function>::type;

    call_on_operation(executor& there, Function function)
        : remote_work(there)
        , function_(std::move(function)) {}
    call_on_operation(call_on_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Function>)
        : operation<call_on_operation>(std::move(other))
        , remote_work(std::move(other))
        , function_(std::move(other.function_)) {}
    ~call_on_operation() { this->end(); } // while there is a function that may run

    bool start(executor& home) noexcept {
        ready_ = &home.ready();
        this->send(home);
        return true;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { this->ask_to_end(); }
    void describe(task_tree& to) const override { to.waits("a call on another executor"); }
    outcome await_resume() { return kept_.take(error_); }

  private:
    void arrived(executor&, bool asked_to_end) noexcept override {
        if (asked_to_end) return this->settle(errc::cancelled);
        kept_.run(function_);
        this->settle({});
    }
    bool destroy_there(errand::stack) noexcept override { return false; } // it runs, and settles
    void settled(fault refused) noexcept override {
        error_ = refused;
        ready_->push(*this);
    }

    Function function_;
    kept_outcome<Function> kept_;
    ready_queue* ready_ = nullptr;
    fault error_;
};

// completes when: `function` has returned on that executor, or thrown: its exception comes out of the co_await. The value is what
//                 it returned; if that is a result, its error is the operation's. Calls of one task, and of one thread, run in
//                 the order of their beginning
// errors:         errc::executor_ended; errc::cancelled
// cancellation:   a call that has not begun will not run; one that has begun goes on, and its outcome is the operation's. That
//                 executor tells which, so it is waited for
// ownership:      `function` lives in the operation; destroying the operation waits for that executor's next turn
// thread:         the executor's; `function` runs on that of the other one, between tasks: it must not block
template <std::move_constructible Function>
    requires std::invocable<Function&> && (!std::is_reference_v<std::invoke_result_t<Function&>>)
call_on_operation<Function> call_on(executor& there, Function function) {
    return {there, std::move(function)};
}

} // namespace chainring

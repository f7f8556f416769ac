// offload: blocking work of a coroutine, done by a thread of a pool while the executor goes on.
//
//     auto reading = cr::offload([path] { return read_file(path); });
//     auto text = co_await std::move(reading); // result<std::string>
//
// With GCC 12 a lambda that captures by value must not stand within the co_await: it destroys the captures twice.
#pragma once

#include <chainring/runtime/blocking_pool.hpp>
#include <chainring/runtime/kept_outcome.hpp>
#include <chainring/runtime/operation.hpp>

#include <type_traits>
#include <utility>

namespace chainring {

template <class Function>
class [[nodiscard("co_await it")]] offload_operation : public operation<offload_operation<Function>>,
                                                       private blocking_work {
  public:
    using outcome = kept_outcome<Function>::type;

    offload_operation(const blocking_pool& pool, Function function)
        : blocking_work(pool)
        , function_(std::move(function)) {}
    offload_operation(offload_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Function>)
        : operation<offload_operation>(std::move(other))
        , blocking_work(std::move(other))
        , function_(std::move(other.function_)) {}
    ~offload_operation() { this->end(); } // while there is a function that may run

    bool start(executor& home) noexcept {
        home_ready_ = &home.ready();
        error_ = this->submit(home);
        return !error_;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override {
        if (!this->withdraw()) return;
        error_ = errc::cancelled;
        home_ready_->push(*this);
    }
    void describe(task_tree& to) const override { to.waits("blocking work"); }
    outcome await_resume() { return kept_.take(error_); }

  private:
    void execute() noexcept override { kept_.run(function_); }
    void settled(fault refused) noexcept override {
        error_ = refused;
        home_ready_->push(*this);
    }

    Function function_;
    kept_outcome<Function> kept_;
    ready_queue* home_ready_ = nullptr;
    fault error_;
};

// Something that may run once on another thread.
template <class Function>
concept blocking_function =
    std::move_constructible<std::decay_t<Function>> && std::invocable<std::decay_t<Function>&> &&
    !std::is_reference_v<std::invoke_result_t<std::decay_t<Function>&>>;

// completes when: `function` has returned, or thrown: its exception comes out of the co_await. The value is what
//                 it returned; if that is a result, its error is the operation's
// errors:         errc::queue_full at once, if the pool's threads are busy and its queue is full; errc::closed if
//                 the pool ends; EAGAIN if no thread could be started; errc::cancelled
// cancellation:   work that waits for a thread leaves the queue at once and does not run; work that runs goes on, and
//                 its outcome is the operation's
// ownership:      `function` lives in the operation; destroying the operation while it runs waits for it
// thread:         the executor's; `function` runs on one of the pool, on which all signals but faults are blocked
template <blocking_function Function>
offload_operation<std::decay_t<Function>> offload(blocking_pool& pool, Function&& function) {
    return {pool, std::forward<Function>(function)};
}
// The same, on the process's own pool.
template <blocking_function Function> offload_operation<std::decay_t<Function>> offload(Function&& function) {
    return offload(default_blocking_pool(), std::forward<Function>(function));
}

} // namespace chainring

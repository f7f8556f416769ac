// spawn_on: a task that runs on another executor, and whose end is awaited here.
//
//     auto counting = cr::spawn_on(other, [name] { return count_lines(name); });
//     const cr::result<long> lines = co_await std::move(counting);
//
// It is one task more below the one that awaits it: a cancellation and a deadline reach it, and it never outlives its awaiter.
#pragma once

#include <chainring/runtime/operation.hpp>
#include <chainring/runtime/remote_task.hpp>

#include <concepts>

namespace chainring {

namespace detail {

template <class T> inline constexpr bool is_task = false;
template <class T> inline constexpr bool is_task<task<T>> = !std::is_reference_v<T>;

} // namespace detail

// What makes a task when it is called, on the executor on which that is to run.
template <class Make>
concept makes_task =
    std::move_constructible<Make> && std::invocable<Make&> && detail::is_task<std::invoke_result_t<Make&>>;

// The outcome of a task that has run elsewhere: what the co_await yields.
template <class Derived, class T>
class remote_task_operation : public operation<Derived>, protected remote_task<T> {
  public:
    using outcome = as_result<T>;

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        this->runs_within(scope);
        return operation<Derived>::begin(caller, scope);
    }

    bool start(executor& home) noexcept {
        ready_ = &home.ready();
        this->send(home);
        return true;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { this->ask_to_end(); }
    outcome await_resume() {
        if (error_) return failure(error_);
        if (!*this->end_) std::rethrow_exception(std::move(this->end_->error()));
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return std::move(**this->end_);
    }

  protected:
    explicit remote_task_operation(executor& there) noexcept
        : remote_task<T>(there) {}
    remote_task_operation(remote_task_operation&& other) noexcept
        : operation<Derived>(std::move(other))
        , remote_task<T>(std::move(other)) {}
    ~remote_task_operation() = default;

  private:
    void settled(fault refused) noexcept override {
        error_ = refused;
        ready_->push(*this);
    }

    ready_queue* ready_ = nullptr;
    fault error_;
};

template <makes_task Make>
class [[nodiscard("co_await it")]] spawn_on_operation
    : public remote_task_operation<
          spawn_on_operation<Make>, typename std::invoke_result_t<Make&>::value_type> {
    using base =
        remote_task_operation<spawn_on_operation<Make>, typename std::invoke_result_t<Make&>::value_type>;

  public:
    spawn_on_operation(executor& there, Make make)
        : base(there)
        , make_(std::move(make)) {}
    spawn_on_operation(spawn_on_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Make>)
        : base(std::move(other))
        , make_(std::move(other.make_)) {}
    ~spawn_on_operation() { this->end(); }

    void describe(task_tree& to) const override { to.waits("the end of a task on another executor"); }

  private:
    auto make_there() -> decltype(std::declval<Make&>()().release()) override { return make_().release(); }

    Make make_; // whose captures the task may use
};

// completes when: the task that `make()` has made on that executor has ended
// value:          what the task has returned: a result stands for itself, any other value is within one. An exception comes out
//                 of the co_await
// errors:         errc::executor_ended when that executor ends before the task does, which is destroyed then; errc::cancelled
//                 before it has begun
// cancellation:   reaches the task, and what it returns then is the outcome
// ownership:      `make` lives in the operation until the task has ended. Destroying the operation destroys the task, on its own
//                 executor, and waits for that
// thread:         the executor's; `make` and the task run on that of the other one
template <makes_task Make> spawn_on_operation<Make> spawn_on(executor& there, Make make) {
    return {there, std::move(make)};
}

} // namespace chainring

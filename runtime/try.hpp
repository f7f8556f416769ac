// try_: the one-word propagation of errors inside a coroutine.
//
//     auto listener = co_await cr::try_(cr::tcp_listener::bind(at));
//     auto peer = co_await cr::try_(listener.accept());
//
// Takes a result<T>, a task<result<T>> or an operation that yields one. With a value, the expression is that
// value. With an error, the coroutine it stands in ends with that error, as if by `co_return`: no exception,
// and its locals are destroyed before its caller goes on. The coroutine must itself return a result.
#pragma once

#include <chainring/runtime/task.hpp>

#include <concepts>

namespace chainring {

namespace detail {

template <class Promise> void end_with_error(std::coroutine_handle<> frame, std::error_code error) noexcept {
    auto& promise = std::coroutine_handle<Promise>::from_address(frame.address()).promise();
    promise.return_value(failure(error));
    promise.site().leave();
    promise.finish(); // the frame may be gone now
}

template <class Awaiter>
concept awaiter_of_result =
    requires(Awaiter& awaiter) { requires is_result<decltype(awaiter.await_resume())>; };

// Sits between an awaiter and the coroutine, looks at the outcome first, and resumes the coroutine only with
// a value.
template <std::derived_from<waiter> Awaiter> class try_awaiter final : public Awaiter {
    using outcome = decltype(std::declval<Awaiter&>().await_resume());
    using value = typename outcome::value_type;

  public:
    explicit try_awaiter(Awaiter&& awaiter) noexcept
        : Awaiter(std::move(awaiter)) {}

    bool await_ready() const noexcept { return false; } // only await_suspend learns whose coroutine it is

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        end_ = &end_with_error<Promise>;
        caller_ = caller;
        if (!Awaiter::await_ready() && Awaiter::await_suspend(caller, where)) return true;
        return !settle();
    }

    value await_resume() {
        if (exception_) std::rethrow_exception(std::move(exception_));
        if constexpr (!std::is_void_v<value>) return std::move(**outcome_);
    }

    void resume() noexcept override {
        if constexpr (requires { Awaiter::child_ended(); }) {
            if (!Awaiter::child_ended()) return;
        }
        if (settle()) this->go_on();
    }

  private:
    // False: the coroutine has ended, and this awaiter may be gone with it.
    bool settle() noexcept {
        try {
            outcome_.emplace(Awaiter::await_resume());
        } catch (...) {
            exception_ = std::current_exception();
            return true;
        }
        if (outcome_->has_value()) return true;
        end_(caller_, outcome_->error());
        return false;
    }

    void (*end_)(std::coroutine_handle<>, std::error_code) noexcept = nullptr;
    std::coroutine_handle<> caller_;
    std::optional<outcome> outcome_;
    std::exception_ptr exception_;
};

template <class T> class try_result {
  public:
    explicit try_result(result<T>&& outcome) noexcept
        : outcome_(std::move(outcome)) {}

    bool await_ready() const noexcept { return outcome_.has_value(); }
    template <class Promise> void await_suspend(std::coroutine_handle<Promise> caller) noexcept {
        end_with_error<Promise>(caller, outcome_.error());
    }
    T await_resume() {
        if constexpr (!std::is_void_v<T>) return std::move(*outcome_);
    }

  private:
    result<T> outcome_;
};

} // namespace detail

template <class T> auto try_(result<T> outcome) noexcept {
    return detail::try_result<T>(std::move(outcome));
}

template <class T> auto try_(task<result<T>> child) noexcept {
    return detail::try_awaiter<task_waiter<result<T>>>(task_waiter<result<T>>(child.release()));
}

template <detail::awaiter_of_result Operation>
    requires std::derived_from<Operation, waiter>
auto try_(Operation operation) noexcept {
    return detail::try_awaiter<Operation>(std::move(operation));
}

} // namespace chainring

// graceful_shutdown: how a server ends without dropping what it has begun.
//
//     serving -> finishing -> cancelled -> overdue
//                |            |            hard deadline: connections are reset, and the tasks are destroyed where they stand
//                |            soft deadline: the root scope is cancelled
//                `begin`: nothing new is taken: listeners close, and what waits in `until_shutdown` is cancelled
//
// A scope whose body ends because of that goes on until its children have ended (scope.hpp).
#pragma once

#include <chainring/runtime/scoped_await.hpp>

#include <optional>
#include <stdexcept>

namespace chainring {

// Both from the beginning of the shutdown on. Zero or less: at once. The soft one never comes after the hard one.
struct shutdown_limits {
    duration soft = std::chrono::seconds(5);
    duration hard = std::chrono::seconds(10);
};

// Tasks that were still there at the hard deadline were not waited for, and have been destroyed: executor::run throws it, and
// who has spawned one (spawn.hpp) is told of it.
class shutdown_overdue : public std::runtime_error {
  public:
    shutdown_overdue()
        : std::runtime_error("tasks had not ended at the hard deadline of the shutdown") {}
};

// On the executor's thread. It must live until the executor's run has ended: destroyed before, its deadlines never come.
class graceful_shutdown final : private timer {
  public:
    explicit graceful_shutdown(executor& home, const shutdown_limits& limits = {}) noexcept
        : home_(home)
        , limits_(limits) {}
    graceful_shutdown(const graceful_shutdown&) = delete;
    graceful_shutdown& operator=(const graceful_shutdown&) = delete;

    // Idempotent.
    void begin() noexcept;

    enum class stage : std::uint8_t { serving, finishing, cancelled, overdue };
    stage reached() const noexcept { return reached_; }

  private:
    void fire() noexcept override { go_on(); }
    void go_on() noexcept;

    executor& home_;
    shutdown_limits limits_;
    time_point begun_{};
    stage reached_ = stage::serving;
};

namespace detail {

// A scope that is cancelled when a shutdown begins; unless what is awaited in it is there already.
template <class Awaiter> class shutdown_scope final : public cancel_scope, private intake {
  public:
    shutdown_scope(cancel_scope& parent, const Awaiter& awaiter) noexcept
        : cancel_scope(&parent)
        , awaiter_(awaiter) {
        if (home().shutting_down())
            stop();
        else
            home().add(static_cast<intake&>(*this));
    }

  private:
    void stop() noexcept override {
        if constexpr (requires { awaiter_.has_arrived(); })
            if (awaiter_.has_arrived()) return;
        cancel();
    }

    const Awaiter& awaiter_;
};

template <class Awaiter> class holds_shutdown_scope {
  public:
    holds_shutdown_scope() noexcept = default;
    holds_shutdown_scope(holds_shutdown_scope&&) noexcept {} // before it is awaited

    cancel_scope& open(cancel_scope& parent, const Awaiter& awaiter) noexcept {
        return scope_.emplace(parent, awaiter);
    }

  private:
    std::optional<shutdown_scope<Awaiter>> scope_;
};

// An operation that ends by itself when it is told to, and needs no scope for that: what a server waits for with each message.
template <class Awaiter>
concept stopped_alone = std::same_as<typename Awaiter::stopped_alone, Awaiter>;

template <stopped_alone Operation>
class [[nodiscard("co_await it")]] operation_until_shutdown : public Operation, private intake {
  public:
    explicit operation_until_shutdown(Operation&& awaited) noexcept
        : Operation(std::move(awaited)) {}
    operation_until_shutdown(operation_until_shutdown&& other) noexcept // before it is awaited
        : Operation(static_cast<Operation&&>(other)) {}

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        executor& home = scope.home();
        if (home.shutting_down() && !this->has_arrived()) {
            this->refuse(errc::cancelled);
            return this->completed_at_once(caller, home);
        }
        if (!Operation::begin(caller, scope)) return false;
        if (!home.shutting_down()) home.add(static_cast<intake&>(*this));
        return true;
    }

    // It has ended, though it may stay: a shutdown has nothing to stop.
    auto await_resume() noexcept(noexcept(std::declval<Operation&>().await_resume())) {
        static_cast<intake&>(*this).unlink();
        return Operation::await_resume();
    }

  private:
    void stop() noexcept override { this->stop_unless_arrived(); }
};

} // namespace detail

// Awaits an operation or a task, and cancels it when a shutdown begins: for what waits for new work, such as the next
// request of a connection. What has arrived by then is received all the same; after that it cancels at once.
//
// completes when: what is awaited has ended, with its result
// errors:         those of what is awaited; errc::cancelled for a shutdown too
// cancellation:   reaches what is awaited
// ownership:      of what is awaited
// thread:         the executor's
template <detail::awaitable Awaitable> auto until_shutdown(Awaitable awaited) noexcept {
    using awaiter = detail::waiter_for<Awaitable>;
    if constexpr (detail::stopped_alone<awaiter>)
        return detail::operation_until_shutdown<awaiter>(detail::waiter_of(std::move(awaited)));
    else
        return detail::scoped_awaiter<detail::holds_shutdown_scope<awaiter>, awaiter>(
            {}, detail::waiter_of(std::move(awaited)));
}

} // namespace chainring

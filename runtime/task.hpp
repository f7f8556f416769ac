// task<T>: a lazy coroutine that runs when it is awaited or spawned, on the executor of whoever did so.
//
//     cr::task<int> answer() { co_return 42; }
//     cr::task<> ask() { int value = co_await answer(); }
//
// An awaited task starts on its caller's stack and, if it never suspends, ends there: no queue, no allocation
// beyond a recycled frame. If it suspends, its caller is resumed from the ready queue when it is done.
// Nothing relies on the compiler turning a resumption into a jump (GCC without optimisation and under
// sanitizers does not).
#pragma once

#include <chainring/runtime/error.hpp>
#include <chainring/runtime/task_list.hpp>
#include <chainring/runtime/task_promise.hpp>

#include <cassert>
#include <coroutine>
#include <optional>
#include <utility>

namespace chainring {

// Owns a task and waits for its end.
template <class T> class task_waiter : public task_owner {
  public:
    explicit task_waiter(std::coroutine_handle<task_promise<T>> child) noexcept
        : child_(child) {}
    task_waiter(task_waiter&& other) noexcept
        : child_(std::exchange(other.child_, nullptr)) {}
    ~task_waiter() {
        if (!child_) return;
        destroy_awaited_below(child_.promise());
        child_.destroy();
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> parent,
        std::source_location where = std::source_location::current()) noexcept {
        return begin(parent.promise().site().at(parent, where), parent.promise().scope());
    }

    T await_resume() { return take_value_of(child_); }

    void resume() noexcept override {
        if (child_ended()) this->go_on();
    }

    void describe(task_tree& to) const override { describe_as(to, {}); }

    promise_base* awaited() noexcept override { return child_ ? &child_.promise() : nullptr; }
    void destroy_awaited() noexcept override { std::exchange(child_, nullptr).destroy(); }

    bool replace(promise_base&, std::coroutine_handle<> by) noexcept override {
        child_ = std::coroutine_handle<task_promise<T>>::from_address(by.address());
        return true;
    }

    // True: `parent` stays suspended.
    bool begin(wait_site& parent, cancel_scope& scope) noexcept {
        ready_queue& ready = ready_queue_of(scope.home());
        if (!ready.may_nest()) [[unlikely]]
            start_later(parent, scope);
        else if (!child_.promise().start(scope, child_))
            wait(parent);
        else if (ready.may_go_on()) [[likely]]
            return false;
        else
            go_on_later(parent, ready);
        return true;
    }

    // The child runs and has not ended.
    void wait(wait_site& parent) noexcept {
        suspend(parent);
        child_.promise().wait_for_end(*this);
    }

    // The child has ended, and the budget of the turn is used up.
    void go_on_later(wait_site& parent, ready_queue& ready) noexcept {
        suspend(parent);
        ready.push(*this);
    }

    // The stack is too deep already to start the child on it.
    void start_later(wait_site& parent, cancel_scope& scope) noexcept {
        suspend(parent);
        child_.promise().postpone(scope);
        ready_queue_of(scope.home()).push_next(*this);
    }

    // The value of a child that has ended. Its locals die before its caller goes on, as those of a called
    // function do.
    static T take_value_of(std::coroutine_handle<task_promise<T>>& child) {
        struct destroy_frame {
            std::coroutine_handle<> frame;
            ~destroy_frame() { frame.destroy(); }
        } const guard{child};
        return std::exchange(child, nullptr).promise().take_value();
    }

  protected:
    void describe_as(task_tree& to, std::string_view name) const {
        const promise_base& child = child_.promise();
        to.awaits(child.site(), child.scope(), name);
    }

    // False: it was only started now, and runs.
    bool child_ended() noexcept {
        if (!child_.promise().postponed()) [[likely]]
            return true;
        if (child_.promise().start_postponed(child_)) return true;
        child_.promise().wait_for_end(*this);
        return false;
    }

  private:
    void suspend(wait_site& parent) noexcept {
        this->suspended_ = &parent;
        parent.suspend(*this);
    }
    void finished(promise_base& promise) noexcept override {
        ready_queue_of(promise.scope().home()).push_next(*this);
    }

    std::coroutine_handle<task_promise<T>> child_;
};

// What `co_await` makes of a task. Becomes a waiter only if the child does not end at once: awaiting one that
// does is bound by the number of its stores.
template <class T> class task_awaiter {
  public:
    explicit task_awaiter(std::coroutine_handle<task_promise<T>> child) noexcept
        : child_(child) {}
    task_awaiter(const task_awaiter&) = delete;
    task_awaiter& operator=(const task_awaiter&) = delete;
    ~task_awaiter() {
        if (child_) child_.destroy();
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> parent,
        std::source_location where = std::source_location::current()) noexcept {
        cancel_scope& scope = parent.promise().scope();
        wait_site& site = parent.promise().site();
        ready_queue& ready = ready_queue_of(scope.home());
        if (!ready.may_nest()) [[unlikely]]
            become_waiter().start_later(site.at(parent, where), scope);
        else if (!child_.promise().start(scope, child_))
            become_waiter().wait(site.at(parent, where));
        else if (ready.may_go_on()) [[likely]]
            return false;
        else
            become_waiter().go_on_later(site.at(parent, where), ready);
        return true;
    }

    T await_resume() {
        if (waiter_) [[unlikely]]
            return waiter_->await_resume();
        return task_waiter<T>::take_value_of(child_);
    }

  private:
    class waiter final : public task_waiter<T> {
        using task_waiter<T>::task_waiter;
    };

    waiter& become_waiter() noexcept { return waiter_.emplace(std::exchange(child_, nullptr)); }

    std::coroutine_handle<task_promise<T>> child_;
    std::optional<waiter> waiter_;
};

// Move-only; an unstarted task that is destroyed never runs.
template <class T> class [[nodiscard("a task does nothing until it is awaited or spawned")]] task {
  public:
    using promise_type = task_promise<T>;
    using value_type = T;

    task(task&& other) noexcept
        : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        task taken(std::move(other));
        std::swap(coroutine_, taken.coroutine_);
        return *this;
    }
    ~task() {
        if (coroutine_) coroutine_.destroy();
    }

    task_awaiter<T> operator co_await() && noexcept { return task_awaiter<T>(release()); }

    // For whoever runs the task in another way than by awaiting it.
    std::coroutine_handle<promise_type> release() noexcept {
        assert(coroutine_ && "a task that was moved from, awaited or spawned before is none any more");
        return std::exchange(coroutine_, nullptr);
    }

  private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> coroutine) noexcept
        : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;
};

template <class T> task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}
template <class T> task<T&> task_promise<T&>::get_return_object() noexcept {
    return task<T&>(std::coroutine_handle<task_promise>::from_promise(*this));
}
inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

} // namespace chainring

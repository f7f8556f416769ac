// resume_on: the task goes on on another executor.
//
//     cr::task<cr::result<void>> work_there(cr::executor& other) {
//         co_await cr::try_(cr::resume_on(other));      // from here on on the other thread
//         ...
//     }                                                 // who awaits it goes on where it was
//
// From there on the task is a root of that executor, in a scope of its own, as one of spawn_on: cancellations and deadlines from
// above reach it still. Whoever awaits it stays where he is, and so does whatever belongs to an executor: streams, listeners,
// timers, groups. A task must hold none of them across; tasks and objects that it makes afterwards are the other executor's, and it
// must have let go of them before it goes on again. When it ends its locals die where it is. A connection changes executors by
// move_to.
#pragma once

#include <chainring/runtime/spawn_on.hpp>

#include <stdexcept>

namespace chainring {

namespace detail {

// In place of a task that has gone.
template <class T>
class [[nodiscard]] carried_task_operation : public remote_task_operation<carried_task_operation<T>, T> {
    using base = remote_task_operation<carried_task_operation<T>, T>;

  public:
    carried_task_operation(
        executor& to, std::coroutine_handle<task_promise<T>> running, task_mover& mover) noexcept
        : base(to)
        , running_(running)
        , mover_(mover) {}
    carried_task_operation(carried_task_operation&&) = default;
    ~carried_task_operation() { this->end(); }

    bool start(executor& home) noexcept {
        this->carry(running_, mover_);
        return base::start(home);
    }
    void describe(task_tree& to) const override {
        to.waits("the end of this task, which has gone to another executor");
    }

  private:
    std::coroutine_handle<task_promise<T>> running_;
    task_mover& mover_;
};

template <class T>
task<T> gone(executor& to, std::coroutine_handle<task_promise<T>> running, task_mover& mover) {
    auto ended = co_await carried_task_operation<T>(to, running, mover);
    if constexpr (is_result<T>) {
        co_return ended;
    } else {
        if (!ended) throw std::system_error(ended.error());
        if constexpr (!std::is_void_v<T>) co_return std::move(*ended);
    }
}

} // namespace detail

class [[nodiscard("co_await it")]] resume_on_operation : public task_mover {
  public:
    explicit resume_on_operation(executor& to) noexcept
        : to_(&to) {}
    resume_on_operation(resume_on_operation&&) noexcept = default;

    bool await_ready() const noexcept { return false; }
    template <class T>
        requires(!std::is_reference_v<T>)
    bool await_suspend(
        std::coroutine_handle<task_promise<T>> caller,
        std::source_location where = std::source_location::current()) {
        const cancel_scope& scope = caller.promise().scope();
        if (scope.cancelled()) error_ = errc::cancelled;
        if (error_ || &scope.home() == to_) return goes_on_later(caller, where);
        suspend(caller, where);
        caller_ = caller;
        leave_ = &leave<T>;
        scope.home().ready().push(
            *this); // who has started it may be on the stack still, and has to learn that it waits
        return true;
    }
    void resume() noexcept override {
        if (child_ended()) go_on();
    }
    void cancel() noexcept override {}
    void describe(task_tree& to) const override { to.waits("another executor, to go on there"); }
    result<void> await_resume() const {
        if (stays_)
            throw std::logic_error("resume_on: this task cannot leave its executor: its children are here "
                                   "(the body of a scope)");
        if (error_) return failure(error_);
        return {};
    }

  protected:
    // False: it has left, and is resumed over there. (As try_ asks of whatever it awaits.)
    bool child_ended() noexcept {
        if (leave_ == nullptr) return true;
        return !std::exchange(leave_, nullptr)(*this);
    }

  private:
    template <class T> static bool leave(resume_on_operation& self) noexcept {
        const auto running = std::coroutine_handle<task_promise<T>>::from_address(self.caller_.address());
        task_promise<T>& promise = running.promise();
        cancel_scope& scope = promise.scope();
        task_owner& owner = *promise.owner();
        if (scope.cancelled()) {
            self.error_ = errc::cancelled;
            return false;
        }
        if (task_carrier* const carrier = owner.carrier()) {
            const bool leaves = carrier->carry_on(*self.to_, self);
            if (!leaves) self.error_ = errc::cancelled;
            return leaves;
        }
        const auto instead = detail::gone<T>(*self.to_, running, self).release();
        self.stays_ = !owner.replace(promise, instead);
        if (self.stays_) {
            instead.destroy();
            return false;
        }
        // It sends the task off, and waits.
        if (!instead.promise().start(scope, instead)) instead.promise().wait_for_end(owner);
        return true;
    }

    executor* to_;
    std::coroutine_handle<> caller_;
    bool (*leave_)(resume_on_operation&) noexcept = nullptr; // until it has left
    bool stays_ = false;
};

// completes when: the task runs on that executor; at once if it does already
// errors:         errc::executor_ended, and the task goes on where it began; errc::cancelled, and it stays where it is. Throws
//                 std::logic_error within the body of a scope, whose children are here
// cancellation:   before the task has left; afterwards it reaches the task there
// ownership:      of the task, which is one allocation more from here on. If it is destroyed, it is destroyed on the executor on
//                 which it is, and that is waited for
// thread:         the executor's
inline resume_on_operation resume_on(executor& to) noexcept {
    return resume_on_operation(to);
}

} // namespace chainring

// Awaiting something in another scope than that of the task which awaits it: what deadlines, shields, stop tokens and
// scopes have in common.
#pragma once

#include <chainring/runtime/operation.hpp>

#include <type_traits>

namespace chainring {

// The scope of the task that awaits it; completes at once.
struct this_scope {
    cancel_scope* scope = nullptr;
    bool await_ready() const noexcept { return false; }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
        scope = &caller.promise().scope();
        return false;
    }
    cancel_scope& await_resume() const noexcept { return *scope; }
};

namespace detail {

// The waiter that awaiting it makes: an operation is one, a task gets one.
template <std::derived_from<waiter> Operation>
    requires requires(Operation& made, wait_site& caller, cancel_scope& scope) { made.begin(caller, scope); }
Operation waiter_of(Operation operation) noexcept {
    return operation;
}
template <class T> task_waiter<T> waiter_of(task<T> child) noexcept {
    return task_waiter<T>(child.release());
}
template <class Awaitable> using waiter_for = decltype(waiter_of(std::declval<Awaitable>()));

// Something that can be awaited in any scope: an operation of chainring, or a task. Not what a cancellation never reaches,
// such as `yield` and a group's `join`.
template <class Awaitable>
concept awaitable = requires { typename waiter_for<Awaitable>; };

// Holder makes the scope: `cancel_scope& open(cancel_scope& parent)`, when the awaiting begins; the awaiter is a second
// argument, if it takes one. For executor::dump it may have a `deadline()` or `keeps_deadlines_out`, and a `describe_rest(task_tree&)` for what belongs
// to the scope besides. It lies in a base, the first one, because the scope must outlive the awaiter that waits in it; one
// for each Awaiter, because they nest.
template <class Holder, class Awaiter> struct scope_below {
    Holder holder;
};

template <class Holder, std::derived_from<waiter> Awaiter>
class [[nodiscard("co_await it")]] scoped_awaiter : private scope_below<Holder, Awaiter>, public Awaiter {
  public:
    scoped_awaiter(Holder&& holder, Awaiter&& awaiter) noexcept
        : scope_below<Holder, Awaiter>{std::move(holder)}
        , Awaiter(std::move(awaiter)) {}
    scoped_awaiter(scoped_awaiter&&) = default;

    bool await_ready() const noexcept { return false; } // the scope is opened in any case
    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        cancel_scope& below = open(scope);
        return !Awaiter::await_ready() && Awaiter::begin(caller, below);
    }

    void describe(task_tree& to) const override {
        const Holder& held = scope_below<Holder, Awaiter>::holder;
        const auto show = [&] { Awaiter::describe(to); };
        if constexpr (requires { held.deadline(); })
            to.within(held.deadline(), show);
        else if constexpr (requires { Holder::keeps_deadlines_out; })
            to.shielded(show);
        else
            show();
        if constexpr (requires { held.describe_rest(to); }) held.describe_rest(to);
    }

  protected:
    Holder& holder() noexcept { return scope_below<Holder, Awaiter>::holder; }

  private:
    cancel_scope& open(cancel_scope& parent) {
        const Awaiter& awaiter = *this;
        if constexpr (requires { holder().open(parent, awaiter); })
            return holder().open(parent, awaiter);
        else
            return holder().open(parent);
    }
};

} // namespace detail

} // namespace chainring

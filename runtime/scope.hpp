// scope: the structure of concurrent tasks. A scope ends only when every task spawned into it has ended.
//
//     co_await cr::scope([&](cr::task_group& sessions) -> cr::task<> {
//         for (;;) {
//             auto peer = co_await listener.accept();
//             if (!peer) break;
//             sessions.spawn(echo(std::move(*peer)));
//         }
//     });
#pragma once

#include <chainring/runtime/child.hpp>
#include <chainring/runtime/remote_spawner.hpp>
#include <chainring/runtime/scoped_await.hpp>
#include <chainring/runtime/task_group.hpp>

#include <type_traits>

namespace chainring {

namespace detail {

// The body of a scope waits in one that is neither the group's nor that of the task around it.
struct body_scope {
    cancel_scope& scope;
    const task_group& children;
    cancel_scope& open(cancel_scope&) const noexcept { return scope; }
    void describe_rest(task_tree& to) const { children.describe(to); }
};

// It has its children here, so it stays.
template <class T> class body_waiter : public task_waiter<T> {
  public:
    using task_waiter<T>::task_waiter;
    bool replace(promise_base&, std::coroutine_handle<>) noexcept override { return false; }
};

template <class T> auto await_body(cancel_scope& scope, const task_group& children, task<T> body) noexcept {
    return scoped_awaiter<body_scope, body_waiter<T>>(
        body_scope{scope, children}, body_waiter<T>(body.release()));
}

} // namespace detail

// Runs `body(group)` and waits for every child that it spawned. If the body throws or returns an error, the
// children are cancelled first. What the failure of a child does is a matter of the policy (task_group.hpp); by
// default it cancels the other children and the body.
//
// completes when: the body and all children have ended
// value:          the body's; or else the first failure: an exception is thrown, an error is what the scope returns,
//                 or thrown as std::system_error where the body returns no result
// cancellation:   reaches the body and all children; the scope ends when they have. If the body returned a result by then
//                 and a child says that it was cut short, the scope returns errc::cancelled, unless the policy is to
//                 ignore what becomes of children
// ownership:      `body` lives in the scope until it ends
// thread:         the executor's
template <class Body>
auto scope(group_options options, Body body) -> std::invoke_result_t<Body&, task_group&> {
    using outcome = typename std::invoke_result_t<Body&, task_group&>::value_type;
    cancel_scope& parent = co_await this_scope{};
    cancel_scope body_scope(&parent);
    task_group group(parent, options);
    group.cancel_on_failure(body_scope);
    if constexpr (std::is_void_v<outcome>) {
        try {
            co_await detail::await_body(body_scope, group, body(group));
        } catch (...) {
            group.spawner_failed({.error = {}, .exception = std::current_exception()});
        }
        co_await group.join();
        group.throw_failure();
    } else {
        std::optional<outcome> value;
        try {
            value.emplace(co_await detail::await_body(body_scope, group, body(group)));
        } catch (...) {
            group.spawner_failed({.error = {}, .exception = std::current_exception()});
        }
        if constexpr (is_result<outcome>) {
            if (value && !value->has_value())
                group.spawner_failed({.error = value->error(), .exception = {}});
        }
        co_await group.join();
        if constexpr (is_result<outcome>) {
            if (const std::error_code error = group.take_error()) co_return failure(error);
            // From without: a body that has cancelled its children knows what it does.
            if (group.cut_short() && (parent.cancelled() || group.cancelled_from_elsewhere()))
                co_return failure(errc::cancelled);
        }
        group.throw_failure();
        co_return std::move(*value);
    }
}
template <class Body> auto scope(Body body) -> std::invoke_result_t<Body&, task_group&> {
    return scope(group_options{}, std::move(body));
}

} // namespace chainring

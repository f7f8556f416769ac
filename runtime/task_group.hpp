// scope and task_group: the structure of concurrent tasks. A scope ends only when every task spawned into it
// has ended.
//
//     co_await cr::scope([&](cr::task_group& sessions) -> cr::task<> {
//         for (;;) {
//             auto peer = co_await listener.accept();
//             if (!peer) break;
//             sessions.spawn(echo(std::move(*peer)));
//         }
//     });
#pragma once

#include <chainring/runtime/executor.hpp>

#include <type_traits>

namespace chainring {

// The children of one scope. Its own cancel_scope is below that of the task which opened it.
class task_group {
  public:
    explicit task_group(cancel_scope& parent) noexcept
        : scope_(&parent)
        , nursery_(*this) {}
    // Children that have not ended are destroyed where they stand.
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    // The child runs when the spawner next suspends. A child's exception cancels the group and comes out of
    // the scope. On the executor's thread.
    void spawn(task<> child);

    // Asks every child to end. The group can still be joined, and children spawned from now on are born
    // cancelled.
    void cancel() noexcept { scope_.cancel(); }

    std::size_t size() const noexcept { return children_; }
    cancel_scope& scope() noexcept { return scope_; }

    // Cancels the group as a child does that ends with this exception.
    void fail(std::exception_ptr exception) noexcept;
    // Whoever spawns is not a child: this one, which must live as long as the group, ends when the group
    // fails.
    void cancel_on_failure(cancel_scope& spawner) noexcept { spawner_ = &spawner; }

    // Completes when there is no child. Throws the first exception that the group failed with.
    auto join() noexcept { return join_awaiter(*this); }

  private:
    class join_awaiter final : public waiter {
      public:
        explicit join_awaiter(task_group& group) noexcept
            : group_(group) {}
        ~join_awaiter() {
            if (group_.joining_ == this) group_.joining_ = nullptr;
        }
        bool await_ready() const noexcept { return group_.children_ == 0; }
        void await_suspend(std::coroutine_handle<> caller) noexcept {
            coroutine_ = caller;
            group_.joining_ = this;
        }
        void resume() noexcept override {
            // Whoever ran since the last child ended may have spawned another one.
            if (group_.children_ == 0)
                coroutine_.resume();
            else
                group_.joining_ = this;
        }
        void await_resume() const {
            if (group_.exception_) std::rethrow_exception(std::exchange(group_.exception_, nullptr));
        }
        void cancel() noexcept override {
        } // in no scope: a scope's cancellation reaches the children, and they end

      private:
        task_group& group_;
    };

    // In the ready queue while children wait for their start, and told of their ends.
    class nursery final : public task_owner {
      public:
        explicit nursery(task_group& group) noexcept
            : group_(group) {}
        void resume() noexcept override { group_.start_one(); }
        void finished(promise_base& promise) noexcept override {
            group_.end(static_cast<task_promise<void>&>(promise));
        }

      private:
        task_group& group_;
    };

    void start_one() noexcept;
    void end(task_promise<void>& child) noexcept;

    cancel_scope scope_;
    nursery nursery_;
    task_list starting_;
    task_list running_;
    std::size_t children_ = 0;
    join_awaiter* joining_ = nullptr;
    cancel_scope* spawner_ = nullptr;
    std::exception_ptr exception_;
};

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

// Awaits a task in another scope than that of the task which awaits it.
template <class T> class task_in_scope final : public task_waiter<T> {
  public:
    task_in_scope(cancel_scope& scope, task<T>&& child) noexcept
        : task_waiter<T>(child.release())
        , scope_(scope) {}
    bool await_suspend(std::coroutine_handle<> parent) noexcept { return this->begin(parent, scope_); }

  private:
    cancel_scope& scope_;
};

// Runs `body(group)` and waits for every child that it spawned. If the body throws or returns an error, the
// children are cancelled first; a child's exception cancels the body too. The value is the body's.
//
// cancellation: reaches the body and all children; the scope ends when they have
// ownership:    `body` lives in the scope until it ends
// thread:       the executor's
template <class Body> auto scope(Body body) -> std::invoke_result_t<Body&, task_group&> {
    using outcome = typename std::invoke_result_t<Body&, task_group&>::value_type;
    cancel_scope& parent = co_await this_scope{};
    cancel_scope body_scope(&parent);
    task_group group(parent);
    group.cancel_on_failure(body_scope);
    if constexpr (std::is_void_v<outcome>) {
        try {
            co_await task_in_scope<outcome>(body_scope, body(group));
        } catch (...) {
            group.fail(std::current_exception());
        }
        co_await group.join();
    } else {
        std::optional<outcome> value;
        try {
            value.emplace(co_await task_in_scope<outcome>(body_scope, body(group)));
        } catch (...) {
            group.fail(std::current_exception());
        }
        if constexpr (is_result<outcome>) {
            if (value && !value->has_value()) group.cancel();
        }
        co_await group.join();
        co_return std::move(*value);
    }
}

} // namespace chainring

// task_group: tasks that run side by side and are joined. `scope` (scope.hpp) makes one and joins it.
//
//     group.spawn(echo(std::move(peer)));                        // a failure is the group's
//     co_await group.spawn_bounded(echo(std::move(peer)));       // waits while there are `max_children`
//     cr::child<int> answer = group.start(ask());                // and `co_await answer.outcome()` its value
#pragma once

#include <chainring/runtime/operation.hpp>

#include <stdexcept>
#include <vector>

namespace chainring {

// What a task has left behind in place of a value: one of the two.
struct task_failure {
    std::error_code error;
    std::exception_ptr exception;
};

// What the failure of a child does: an exception, or an error of a child that returns a result. Having been
// cancelled together with its group is no failure.
enum class failure_policy : std::uint8_t {
    cancel_siblings, // the first one cancels the other children and the body, and is what the scope ends with
    collect, // all are kept and nobody is cancelled; the scope ends with the first unless they were taken
    ignore,  // it is logged
};

struct group_options {
    failure_policy on_failure = failure_policy::cancel_siblings;
    std::size_t max_children = 0; // that spawn_bounded lets run at a time; 0: no limit
};

template <class T> class child;
class remote_spawner;
class remote_link;
class spawn_operation;
struct admission_tag;
struct remote_tag;

// Its own cancel_scope is below that of the task which made it.
class task_group {
  public:
    explicit task_group(cancel_scope& parent, const group_options& options = {}) noexcept
        : parent_(&parent)
        , scope_(&parent)
        , nursery_(*this)
        , options_(options) {}
    // Children that have not ended are destroyed where they stand.
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    // The child runs when the spawner next suspends. On the executor's thread.
    void spawn(task<> child);
    void spawn(task<result<void>> child);
    // The same, and a handle on what the child returns (child.hpp).
    template <class T> child<T> start(task<T> started);

    // The same, once fewer than `max_children` run. A child that spawns into its own group holds a place while it waits: if all
    // of them do so at the same time, none goes on (executor::dump shows it). Such children use `spawn`, or a group of their own.
    //
    // completes when: the child has been spawned; at once if there is a place
    // errors:         errc::cancelled: the child never ran
    // cancellation:   at once
    // ownership:      of the child
    // thread:         the executor's
    spawn_operation spawn_bounded(task<> child) noexcept;
    spawn_operation spawn_bounded(task<result<void>> child);

    // For other threads (remote_spawner.hpp). The group is not joined before the last such handle is gone.
    remote_spawner remote();

    // Asks every child to end. The group can still be joined, and children spawned from now on are born
    // cancelled. On the executor's thread; other threads use `remote().cancel()`.
    void cancel() noexcept { scope_.cancel(); }
    // The same from elsewhere: of a scope the body too, which does not know of it.
    void cancel_from_elsewhere() noexcept;

    std::size_t size() const noexcept { return children_; } // of the children that have not ended
    cancel_scope& scope() noexcept { return scope_; }

    // completes when: there is no child
    // errors:         the exception that cancelled the group is thrown, once; std::logic_error for a task of the group, or
    //                 below one, which would wait for itself
    // cancellation:   cancels the group; the wait goes on until the children have ended
    // ownership:      the group must outlive it
    // thread:         the executor's; several tasks may wait
    auto join() noexcept { return join_awaiter(*this); }

    // In the order in which they happened, from the first: those that nobody has taken yet.
    std::vector<task_failure> take_failures() noexcept { return std::exchange(failures_, {}); }

    // For executor::dump: the children, and what they wait for.
    void describe(task_tree& to) const;

    // For scopes.

    // Whoever spawns is not a child: this one, which must live as long as the group, ends when the group
    // fails.
    void cancel_on_failure(cancel_scope& spawner) noexcept { spawner_ = &spawner; }
    // A child has failed.
    void failed(task_failure failure) noexcept;
    // Whoever spawns has: nothing more is to come of it, whatever the policy.
    void spawner_failed(task_failure failure) noexcept;
    // The first failure, if it is an error.
    std::error_code take_error() noexcept;
    // Throws the first failure, an error as std::system_error.
    void throw_failure();
    // A child has ended with errc::cancelled because the group was cancelled.
    bool cancelled_from_elsewhere() const noexcept { return cancelled_from_elsewhere_; }
    bool cut_short() const noexcept { return cut_short_ && options_.on_failure != failure_policy::ignore; }

  private:
    friend spawn_operation;
    friend remote_spawner;
    friend remote_link;

    class join_awaiter final : public waiter {
      public:
        explicit join_awaiter(task_group& group) noexcept
            : group_(group)
            , cancellation_(group) {}
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(
            std::coroutine_handle<Promise> caller,
            std::source_location where = std::source_location::current()) noexcept {
            const cancel_scope& scope = caller.promise().scope();
            joins_itself_ = group_.has_below(scope);
            if (group_.joined() || joins_itself_) return goes_on_later(caller, where);
            suspend(caller, where);
            group_.joining_.push_back(*this);
            cancellation_.expect(caller.promise().scope());
            return true;
        }
        void resume() noexcept override {
            // Whoever ran since the last child ended may have spawned another one.
            if (group_.joined())
                go_on();
            else
                group_.joining_.push_back(*this);
        }
        void await_resume() const {
            if (joins_itself_) throw std::logic_error("a task joins the group that it belongs to");
            group_.throw_exception();
        }
        void cancel() noexcept override {} // in no scope: cancellation_ is
        void describe(task_tree& to) const override;

      private:
        // In the scope of the wait, which need not be above the group's: that of a timeout around the join, say.
        class join_cancellation final : public waiter {
          public:
            explicit join_cancellation(task_group& group) noexcept
                : group_(group) {}
            void expect(cancel_scope& scope) noexcept {
                if (scope.cancelled())
                    group_.cancel();
                else
                    scope.add(*this);
            }
            void cancel() noexcept override { group_.cancel(); }

          private:
            task_group& group_;
        };

        task_group& group_;
        join_cancellation cancellation_;
        bool joins_itself_ = false;
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
        bool replace(promise_base& task, std::coroutine_handle<> by) noexcept override {
            group_.running_.replace(
                task, std::coroutine_handle<task_promise<void>>::from_address(by.address()).promise());
            return true;
        }

      private:
        task_group& group_;
    };

    bool joined() const noexcept { return children_ == 0 && remotes_.empty(); }
    // Does who waits in this scope belong to the group? Those who usually join do not.
    bool has_below(const cancel_scope& scope) const noexcept {
        return &scope != parent_ && &scope != spawner_ && scope_.is_above(scope);
    }
    bool has_place() const noexcept {
        return options_.max_children == 0 || children_ < options_.max_children;
    }
    void start_one() noexcept;
    void end(task_promise<void>& child) noexcept;
    void one_less() noexcept;
    bool is_cancellation(const task_failure& failure) const noexcept;
    void throw_exception();

    const cancel_scope* parent_; // of scope_
    cancel_scope scope_;
    nursery nursery_;
    task_list starting_;
    task_list running_;
    std::size_t children_ = 0;
    waiter_list joining_;
    cancel_scope* spawner_ = nullptr;
    group_options options_;
    bool cut_short_ = false;
    bool cancelled_from_elsewhere_ = false;
    std::vector<task_failure> failures_;
    intrusive_list<spawn_operation, admission_tag> waiting_for_place_;
    intrusive_list<remote_link, remote_tag> remotes_;
};

// See task_group::spawn_bounded.
class [[nodiscard("co_await it")]] spawn_operation : public operation<spawn_operation>,
                                                     private list_node<admission_tag> {
  public:
    spawn_operation(task_group& group, task<> child) noexcept
        : group_(group)
        , child_(std::move(child)) {}

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    void describe(task_tree& to) const override;
    result<void> await_resume() const noexcept {
        if (error_) return failure(error_);
        return {};
    }

  private:
    friend task_group;
    template <class T, class Tag> friend class intrusive_list;

    void admit() noexcept;
    void group_ended() noexcept;

    task_group& group_;
    task<> child_;
    fault error_;
};

} // namespace chainring

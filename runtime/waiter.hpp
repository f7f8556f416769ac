// A suspended coroutine and what it waits for. A waiter is in exactly one list: its scope's while it waits,
// so that the scope can cancel it; the executor's ready queue once it may go on; none while it runs.
#pragma once

#include <chainring/runtime/intrusive_list.hpp>
#include <chainring/runtime/wait_site.hpp>

#include <cassert>
#include <cstdint>
#include <utility>

namespace chainring {

struct waiter_tag;
class executor;
class promise_base;
class task_tree;

class waiter : public list_node<waiter_tag> {
  public:
    // Called from the ready queue, on the executor's thread.
    virtual void resume() noexcept { go_on(); }

    // Where the coroutine is suspended; nullptr: it runs.
    const wait_site* site() const noexcept { return suspended_; }

    // On this thread: always 0, or a bug.
    static std::uint64_t second_resumptions() noexcept { return second_resumptions_; }

    // The scope was cancelled. What the operation did by then decides its result, so a waiter whose operation
    // is with the kernel asks for an end and goes on waiting for it.
    virtual void cancel() noexcept = 0;

    // For executor::dump: what it is that the coroutine waits for.
    virtual void describe(task_tree& to) const;

    // For who destroys a chain of tasks: the one that is awaited here and dies with this waiter.
    virtual promise_base* awaited() noexcept { return nullptr; }
    virtual void destroy_awaited() noexcept {}

  protected:
    waiter() noexcept = default;
    waiter(waiter&&) noexcept = default;
    ~waiter() = default; // leaves whatever list it is in

    // For await_suspend; `where` is its default argument, which stands for the co_await.
    template <class Promise>
    void suspend(std::coroutine_handle<Promise> caller, std::source_location where) noexcept {
        suspend(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    template <class Scope> void suspend(wait_site& caller, Scope& scope) noexcept {
        suspended_ = &caller;
        caller.suspend(*this, scope.home().now());
    }

    // The same, of what has completed by then. True: the budget of the turn is used up, and the coroutine goes on from the
    // ready queue.
    template <class Promise>
    bool goes_on_later(std::coroutine_handle<Promise> caller, std::source_location where) noexcept {
        return goes_on_later(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    template <class Scope> bool goes_on_later(wait_site& caller, Scope& scope) noexcept {
        if (scope.home().ready().may_go_on()) [[likely]]
            return false;
        goes_last(caller, scope.home());
        return true;
    }
    // It may go on, after all others that may. Seldom, and out of the way of what is inlined everywhere.
    void goes_last(wait_site& caller, executor& home) noexcept;

    // Whoever waits is resumed once; a second time is a bug, which is counted rather than run into.
    void go_on() noexcept {
        wait_site* const suspended = std::exchange(suspended_, nullptr);
        assert(suspended != nullptr);
        if (suspended != nullptr) [[likely]]
            suspended->resume();
        else
            ++second_resumptions_;
    }

    wait_site* suspended_ = nullptr; // nullptr: it has been resumed

  private:
    static inline constinit thread_local std::uint64_t second_resumptions_ = 0;
};

using waiter_list = intrusive_list<waiter, waiter_tag>;

} // namespace chainring

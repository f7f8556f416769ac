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

#include <chainring/runtime/cancel_scope.hpp>
#include <chainring/runtime/error.hpp>
#include <chainring/runtime/frame_pool.hpp>
#include <chainring/runtime/ready_queue.hpp>
#include <chainring/runtime/task_tree.hpp>

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace chainring {

template <class T = void> class task;

class promise_base;
class task_carrier;

ready_queue& ready_queue_of(executor& home) noexcept;

// Whoever started a task and is to hear of its end. A waiter too, since that is what most of them do.
class task_owner : public waiter {
  public:
    virtual void finished(promise_base& promise) noexcept = 0;
    // The task goes on on another executor (resume_on), and a task of the same type takes its place here. False: it has to stay.
    virtual bool replace(promise_base&, std::coroutine_handle<>) noexcept { return false; }
    // Whoever has brought the task to this executor can bring it on to the next.
    virtual task_carrier* carrier() noexcept { return nullptr; }
    void cancel() noexcept override {} // in no scope's list: what the task itself waits for is

  protected:
    task_owner() noexcept = default;
    task_owner(task_owner&&) noexcept = default;
    ~task_owner() = default;
};

// What all tasks share. A member without an initializer is written when the task is started: awaiting a task
// that never suspends is meant to cost a few stores.
class promise_base {
  public:
    promise_base() noexcept = default;
    promise_base(const promise_base&) = delete;
    promise_base& operator=(const promise_base&) = delete;

    static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        frame_pool::release(memory, size);
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept { return at_the_end{}; }

    cancel_scope& scope() const noexcept { return *scope_; }
    wait_site& site() noexcept { return site_; }
    const wait_site& site() const noexcept { return site_; }

    // Runs the task until it suspends or ends. True: it has ended. False: call `wait_for_end`.
    bool start(cancel_scope& scope, std::coroutine_handle<> frame) noexcept {
        scope_ = &scope;
        owner_ = nullptr;
        frame.resume();
        return state_ != state::running;
    }

    // Puts the start off: `start_postponed` follows.
    void postpone(cancel_scope& scope) noexcept {
        scope_ = &scope;
        state_ = state::postponed;
    }
    bool postponed() const noexcept { return state_ == state::postponed; }
    bool start_postponed(std::coroutine_handle<> frame) noexcept {
        state_ = state::running;
        return start(*scope_, frame);
    }

    // The task that it awaits, if it waits for one.
    promise_base* awaited() const noexcept {
        waiter* const waits_for = site_.waits_for();
        return waits_for != nullptr ? waits_for->awaited() : nullptr;
    }

    // The owner of a task that has not ended will hear of it.
    void wait_for_end(task_owner& owner) noexcept { owner_ = &owner; }

    task_owner* owner() const noexcept { return owner_; }
    // It goes on in another scope, and of its end hears another owner.
    void move_to(cancel_scope& scope, task_owner& owner) noexcept {
        scope_ = &scope;
        owner_ = &owner;
    }

    // The task is over: at its closing brace, or at a try_ that met an error. The owner may destroy the
    // frame.
    void finish() noexcept {
        if (owner_ != nullptr) owner_->finished(*this);
    }

  protected:
    enum class state : std::uint8_t { running, postponed, value, exception };
    state state_ = state::running;

  private:
    friend class task_list;

    struct at_the_end {
        bool await_ready() const noexcept { return false; }
        template <class Promise> void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
            ended.promise().finish();
        }
        void await_resume() const noexcept {}
    };

    task_owner* owner_; // nullptr while the starter is on the stack and will look for itself
    cancel_scope* scope_;
    promise_base* previous_; // in the list of a group
    promise_base* next_;
    wait_site site_;
};

// A promise with the place for what the task leaves behind: a value or an exception.
template <class Stored> class storing_promise : public promise_base {
  public:
    storing_promise() noexcept {}
    ~storing_promise() {
        if (state_ == state::value)
            std::destroy_at(&value_);
        else if (state_ == state::exception)
            std::destroy_at(&exception_);
    }

    void unhandled_exception() noexcept {
        if (state_ == state::value)
            std::destroy_at(&value_); // a local's destructor threw behind the co_return
        std::construct_at(&exception_, std::current_exception());
        state_ = state::exception;
    }

    // nullptr unless the task ended with one.
    std::exception_ptr exception() const noexcept {
        return state_ == state::exception ? exception_ : nullptr;
    }

  protected:
    template <class... From> void store(From&&... from) {
        std::construct_at(&value_, std::forward<From>(from)...);
        state_ = state::value;
    }

    Stored& stored() {
        if (state_ == state::exception) [[unlikely]]
            std::rethrow_exception(exception_);
        assert(state_ == state::value);
        return value_;
    }

  private:
    union {
        Stored value_;
        std::exception_ptr exception_;
    };
};

template <class T> class task_promise final : public storing_promise<T> {
  public:
    task<T> get_return_object() noexcept;

    template <class U = T>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& value) {
        this->store(std::forward<U>(value));
    }
    T take_value() { return std::move(this->stored()); }
};

template <class T> class task_promise<T&> final : public storing_promise<T*> {
  public:
    task<T&> get_return_object() noexcept;
    void return_value(T& value) noexcept { this->store(std::addressof(value)); }
    T& take_value() { return *this->stored(); }
};

struct nothing {};

template <> class task_promise<void> final : public storing_promise<nothing> {
  public:
    task<void> get_return_object() noexcept;
    void return_void() noexcept { store(); }
    void take_value() { stored(); }
};

// Started tasks of a group. The list owns nothing and is walked by its owner only.
class task_list {
  public:
    bool empty() const noexcept { return first_ == nullptr; }

    void push_back(promise_base& task) noexcept {
        task.previous_ = last_;
        task.next_ = nullptr;
        (last_ == nullptr ? first_ : last_->next_) = &task;
        last_ = &task;
    }
    void remove(promise_base& task) noexcept {
        (task.previous_ == nullptr ? first_ : task.previous_->next_) = task.next_;
        (task.next_ == nullptr ? last_ : task.next_->previous_) = task.previous_;
    }
    void replace(promise_base& task, promise_base& by) noexcept {
        by.previous_ = task.previous_;
        by.next_ = task.next_;
        (by.previous_ == nullptr ? first_ : by.previous_->next_) = &by;
        (by.next_ == nullptr ? last_ : by.next_->previous_) = &by;
    }
    template <class Visitor> void for_each(Visitor&& visit) const {
        for (const promise_base* each = first_; each != nullptr; each = each->next_) visit(*each);
    }
    promise_base& pop_front() noexcept {
        promise_base& popped = *first_;
        remove(popped);
        return popped;
    }
    promise_base& pop_back() noexcept {
        promise_base& popped = *last_;
        remove(popped);
        return popped;
    }

  private:
    promise_base* first_ = nullptr;
    promise_base* last_ = nullptr;
};

// Destroys all that an awaited task awaits in its turn, from the end. The destructor of each frame would do the same, in
// the same order, but on the stack, and a chain may be as deep as memory goes.
[[gnu::noinline]] inline void destroy_awaited_below(promise_base& top) noexcept {
    task_list chain; // an awaited task is in no other list
    for (promise_base* each = &top; each != nullptr; each = each->awaited()) chain.push_back(*each);
    while (!chain.empty()) {
        promise_base& last = chain.pop_back();
        if (last.awaited() != nullptr) last.site().waits_for()->destroy_awaited();
    }
}

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
    std::coroutine_handle<promise_type> release() noexcept { return std::exchange(coroutine_, nullptr); }

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

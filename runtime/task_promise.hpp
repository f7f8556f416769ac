// What lies in the frame of a task: its scope, its owner, what it waits for, and what it leaves behind.
#pragma once

#include <chainring/runtime/cancel_scope.hpp>
#include <chainring/runtime/frame_pool.hpp>
#include <chainring/runtime/ready_queue.hpp>
#include <chainring/runtime/task_tree.hpp>

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
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

} // namespace chainring

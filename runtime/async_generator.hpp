// async_generator<T>: a coroutine that awaits and yields values, one at a time, as its consumer asks for them.
//
//     cr::async_generator<std::string> lines(cr::tcp_stream& from) {
//         while (auto line = co_await read_line(from)) co_yield *line;
//     }
//     auto all = lines(peer);
//     while (std::string* line = co_await all.next()) print(*line);
//
// It runs only while its consumer awaits it, in the consumer's scope, so that cancellation and deadlines reach it.
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/task_tree.hpp>

#include <cassert>
#include <exception>
#include <memory>
#include <type_traits>

namespace chainring {

template <class T> class [[nodiscard("it does nothing until next() is awaited")]] async_generator {
    using value_type = std::remove_reference_t<T>;

  public:
    class promise_type;
    class next_operation;

    async_generator(async_generator&& other) noexcept
        : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    async_generator& operator=(async_generator&& other) noexcept {
        async_generator taken(std::move(other));
        std::swap(coroutine_, taken.coroutine_);
        return *this;
    }
    ~async_generator() {
        if (coroutine_) coroutine_.destroy();
    }

    // completes when: the generator has yielded a value or has ended
    // value:          where the value is, until the next call; nullptr at the end, and ever after
    // errors:         an exception of the generator is rethrown, and has ended it
    // cancellation:   reaches what the generator awaits; it goes on as it sees fit
    // ownership:      the generator must outlive it
    // thread:         the executor's; one task at a time
    next_operation next() noexcept { return next_operation(coroutine_); }

  private:
    explicit async_generator(std::coroutine_handle<promise_type> coroutine) noexcept
        : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;
};

template <class T> class async_generator<T>::promise_type {
  public:
    static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        frame_pool::release(memory, size);
    }

    async_generator get_return_object() noexcept {
        return async_generator(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }

    // Stops here, with or without a value. A consumer that is not on the stack any more goes on from the ready queue.
    struct stop {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> stopped) const noexcept {
            promise_type& promise = stopped.promise();
            promise.running_ = false;
            if (promise.consumer_ != nullptr)
                promise.scope_->home().ready().push_next(*std::exchange(promise.consumer_, nullptr));
        }
        void await_resume() const noexcept {}
    };
    stop yield_value(value_type& value) noexcept {
        value_ = std::addressof(value);
        return {};
    }
    // A temporary lives until the generator goes on.
    stop yield_value(value_type&& value) noexcept
        requires(!std::is_reference_v<T>)
    {
        value_ = std::addressof(value);
        return {};
    }
    // The consumer may change or take what it gets, but not this.
    class stop_with_copy : public stop {
      public:
        stop_with_copy(promise_type& of, const value_type& value)
            : of_(of)
            , copy_(value) {}
        bool await_ready() noexcept {
            of_.value_ = std::addressof(copy_);
            return false;
        }

      private:
        promise_type& of_;
        value_type copy_;
    };
    stop_with_copy yield_value(const value_type& value)
        requires(!std::is_reference_v<T> && !std::is_const_v<T> && std::copy_constructible<T>)
    {
        return {*this, value};
    }
    stop final_suspend() noexcept {
        value_ = nullptr;
        return {};
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { exception_ = std::current_exception(); }

    cancel_scope& scope() const noexcept { return *scope_; }
    wait_site& site() noexcept { return site_; }

  private:
    friend next_operation;

    wait_site site_;

    value_type* value_ = nullptr;
    cancel_scope* scope_ = nullptr; // of the consumer
    waiter* consumer_ = nullptr;
    bool running_ = false;
    std::exception_ptr exception_;
};

template <class T> class [[nodiscard("co_await it")]] async_generator<T>::next_operation : public waiter {
  public:
    explicit next_operation(std::coroutine_handle<promise_type> generator) noexcept
        : generator_(generator) {
        assert(generator != nullptr && !generator.promise().running_); // one consumer at a time
    }
    next_operation(next_operation&&) = default;
    ~next_operation() {
        if (suspended_ != nullptr && generator_.promise().consumer_ == this)
            generator_.promise().consumer_ = nullptr;
    }

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller,
        std::source_location where = std::source_location::current()) noexcept {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) noexcept {
        promise_type& promise = generator_.promise();
        if (!generator_.done()) {
            promise.scope_ = &scope;
            promise.running_ = true;
            if (!scope.home().ready().may_nest()) [[unlikely]] {
                postponed_ = true;
                suspend(caller, scope);
                scope.home().ready().push_next(*this);
                return true;
            }
            generator_.resume();
        }
        if (!promise.running_) return goes_on_later(caller, scope);
        suspend(caller, scope);
        promise.consumer_ = this;
        return true;
    }
    void resume() noexcept override {
        promise_type& promise = generator_.promise();
        if (std::exchange(postponed_, false)) generator_.resume();
        if (promise.running_)
            promise.consumer_ = this;
        else
            go_on();
    }
    value_type* await_resume() const {
        promise_type& promise = generator_.promise();
        if (promise.exception_) std::rethrow_exception(std::exchange(promise.exception_, nullptr));
        return promise.value_;
    }
    void cancel() noexcept override {} // in no scope's list: what the generator waits for is
    void describe(task_tree& to) const override {
        const promise_type& promise = generator_.promise();
        to.awaits(promise.site_, *promise.scope_);
    }

  private:
    std::coroutine_handle<promise_type> generator_;
    bool postponed_ = false; // the stack is too deep to go on with the generator on it
};

} // namespace chainring

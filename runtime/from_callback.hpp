// from_callback: awaits what calls back.
//
//     auto asking = cr::from_callback<std::string>([&](cr::callback<std::string> done) {
//         client.get(url, [done](std::error_code error, std::string body) {
//             error ? done.fail(error) : done(std::move(body));
//         });
//     });
//     auto body = co_await std::move(asking); // result<std::string>
//
// With GCC 12 a lambda that captures by value must not stand within the co_await: it destroys the captures twice.
#pragma once

#include <chainring/runtime/operation.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace chainring {

namespace detail {

// Between an await and the callback that ends it, which may come from any thread, and when the await is long gone.
//
//     starting -> waiting -> called    with an outcome, on its way through the executor's inbox
//        |           `-----> left      the await has ended without it: a call comes too late
//        `-> called, left              while the start function ran: nobody has to be woken
template <class Outcome>
class call final : public std::enable_shared_from_this<call<Outcome>>, private posted_work {
  public:
    explicit call(executor& home) noexcept
        : home_(home) {}

    // False: it has its outcome already, or nobody wants one any more. On any thread.
    bool complete(std::optional<Outcome> outcome, std::exception_ptr exception) noexcept {
        // Held while it posts: the executor takes it before the coroutine goes on, and perhaps the executor ends.
        const std::lock_guard lock(mutex_);
        if (state_ != state::starting && state_ != state::waiting) return false;
        outcome_ = std::move(outcome);
        exception_ = std::move(exception);
        const bool has_to_wake = state_ == state::waiting;
        state_ = state::called;
        if (has_to_wake) {
            posted_ = this->shared_from_this();
            home_.post(static_cast<posted_work&>(*this));
        }
        return true;
    }

    // The rest is for the executor's thread.

    // True: `waiting` will be resumed. False: it was called already.
    bool wait(waiter& waiting) noexcept {
        const std::lock_guard lock(mutex_);
        if (state_ != state::starting) return false;
        waiting_ = &waiting;
        state_ = state::waiting;
        home_.post_expected();
        return true;
    }
    // Nobody wants an outcome any more. False: there is one already.
    bool leave() noexcept {
        const std::lock_guard lock(mutex_);
        if (state_ == state::called) return false;
        if (state_ == state::waiting) home_.post_arrived(); // it will not be posted
        state_ = state::left;
        return true;
    }
    bool expected() noexcept {
        const std::lock_guard lock(mutex_);
        return state_ == state::starting || state_ == state::waiting;
    }
    // The waiter dies.
    void forget() noexcept { waiting_ = nullptr; }
    Outcome take() {
        if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
        return std::move(*outcome_);
    }

  private:
    enum class state : std::uint8_t { starting, waiting, called, left };

    void run() noexcept override {
        const std::shared_ptr<call> own = std::move(posted_);
        {
            const std::lock_guard caller_has_left_the_inbox(mutex_);
        }
        home_.post_arrived();
        if (waiting_ != nullptr) home_.ready().push(*std::exchange(waiting_, nullptr));
    }

    executor& home_;
    std::mutex mutex_;
    state state_ = state::starting;
    waiter* waiting_ = nullptr; // used on the executor's thread only
    std::optional<Outcome> outcome_;
    std::exception_ptr exception_;
    std::shared_ptr<call> posted_; // while it is in the inbox
};

// Does nothing, and is asked nothing.
struct no_cancel {};

} // namespace detail

// Ends an await of from_callback, once: each call after the first does nothing. It may be copied, kept and called on any thread, also
// when the await has ended without it. When its last copy is gone and none was called, the await ends with errc::never_called.
template <class T> class callback {
  public:
    using outcome = as_result<T>;

    // What the await yields, which a value and an error turn into. False: it came too late.
    bool operator()(outcome ended) const noexcept { return call_->complete(std::move(ended), nullptr); }
    bool operator()() const noexcept
        requires std::is_void_v<typename outcome::value_type>
    {
        return (*this)(outcome());
    }
    bool fail(std::error_code error) const noexcept { return (*this)(failure(error)); }
    // Comes out of the co_await.
    bool raise(std::exception_ptr exception) const noexcept {
        return call_->complete(std::nullopt, std::move(exception));
    }

  private:
    template <class, class, class> friend class from_callback_operation;

    explicit callback(const std::shared_ptr<detail::call<outcome>>& call)
        : call_(call.get(), [call](auto* uncalled) {
            (void)uncalled->complete(failure(errc::never_called), nullptr);
        }) {}

    std::shared_ptr<detail::call<outcome>> call_; // of all copies; the last one tells that it is gone
};

template <class T, class Start, class Cancel>
class [[nodiscard("co_await it")]] from_callback_operation
    : public operation<from_callback_operation<T, Start, Cancel>> {
  public:
    from_callback_operation(Start start, Cancel cancel)
        : start_(std::move(start))
        , cancel_(std::move(cancel)) {}
    from_callback_operation(from_callback_operation&& other) noexcept(
        std::is_nothrow_move_constructible_v<Start> && std::is_nothrow_move_constructible_v<Cancel>)
        : operation<from_callback_operation>(std::move(other))
        , start_(std::move(other.start_))
        , cancel_(std::move(other.cancel_)) {}
    ~from_callback_operation() {
        if (call_ == nullptr) return;
        call_->forget();
        const bool uncalled = call_->leave();
        if constexpr (may_be_asked)
            if (uncalled) std::invoke(cancel_);
    }

    bool start(executor& home) {
        home_ready_ = &home.ready();
        call_ = std::make_shared<detail::call<as_result<T>>>(home);
        try {
            std::invoke(std::move(start_), callback<T>(call_));
        } catch (...) {
            exception_ = std::current_exception();
            (void)call_->leave();
            return false;
        }
        started_ = true;
        if (cancelled_) ask();
        return !error_ && call_->wait(*this);
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override {
        cancelled_ = true;
        if (!started_) return; // the start function has cancelled its own scope
        ask();
        if (error_) home_ready_->push(*this);
    }
    void describe(task_tree& to) const override { to.waits("a callback"); }
    as_result<T> await_resume() {
        const auto ended = std::move(call_);
        if (exception_) std::rethrow_exception(std::move(exception_));
        if (error_) return failure(error_);
        return ended->take();
    }

  private:
    static constexpr bool may_be_asked = !std::is_same_v<Cancel, detail::no_cancel>;

    void ask() noexcept {
        if constexpr (may_be_asked) {
            if (call_->expected()) std::invoke(cancel_);
        } else if (call_->leave()) {
            error_ = errc::cancelled;
        }
    }

    Start start_;
    [[no_unique_address]] Cancel cancel_;
    std::shared_ptr<detail::call<as_result<T>>> call_;
    std::exception_ptr exception_; // of the start function
    ready_queue* home_ready_ = nullptr;
    fault error_;
    bool started_ = false;
    bool cancelled_ = false;
};

// Calls `start(callback)` when it is awaited, and completes when the callback is called: at once, later, by whatever thread.
//
// completes when: the callback was called, with what it was given; or its last copy is gone
// errors:         those given to the callback; errc::never_called; errc::cancelled. What `start` throws comes out of the co_await
// cancellation:   without `cancel`, at once: what was started goes on, and its callback comes too late. With it, `cancel()` is
//                 called unless the callback was, and the callback, which may come within it, decides
// ownership:      both functions live in the operation. Destroying it while it waits calls `cancel` and does not wait for the
//                 callback: what was started must use nothing that dies with the task, or end within `cancel`
// thread:         the executor's; `start` and `cancel` run on it. The callback: any
template <class T = void, class Start>
    requires std::invocable<std::decay_t<Start>, callback<T>>
from_callback_operation<T, std::decay_t<Start>, detail::no_cancel> from_callback(Start&& start) {
    return {std::forward<Start>(start), {}};
}
template <class T = void, class Start, class Cancel>
    requires std::invocable<std::decay_t<Start>, callback<T>> && std::invocable<std::decay_t<Cancel>&>
from_callback_operation<T, std::decay_t<Start>, std::decay_t<Cancel>>
from_callback(Start&& start, Cancel&& cancel) {
    return {std::forward<Start>(start), std::forward<Cancel>(cancel)};
}

} // namespace chainring

// What a task sees of cancellation, and how it is kept out or led in from elsewhere.
//
//     while (!co_await cr::cancelled()) { compute(); co_await cr::yield(); }
//     co_await cr::shield(write_the_last_record(log));        // ends as if nobody had cancelled
//     co_await cr::cancel_on(token, handle(request));         // a std::stop_token cancels it, from any thread
//     cr::linked_stop_source source = co_await cr::link_stop_source();   // code that takes a std::stop_token
#pragma once

#include <chainring/runtime/scoped_await.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>

namespace chainring {

namespace detail {

// Awaits nothing: looks at the scope of the task that awaits it.
template <class Look> class scope_query final : public waiter {
  public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller,
        std::source_location where = std::source_location::current()) noexcept {
        scope_ = &caller.promise().scope();
        return goes_on_later(caller, where);
    }
    auto await_resume() const { return Look{}(*scope_); }
    void cancel() noexcept override {}

  private:
    cancel_scope* scope_ = nullptr;
};

struct whether_cancelled {
    bool operator()(cancel_scope& scope) const noexcept { return scope.cancelled(); }
};
struct its_deadline {
    std::optional<time_point> operator()(cancel_scope& scope) const noexcept {
        if (scope.deadline() == cancel_scope::no_deadline) return std::nullopt;
        return scope.deadline();
    }
};

} // namespace detail

// Whether the task was asked to end; completes at once.
inline detail::scope_query<detail::whether_cancelled> cancelled() noexcept {
    return {};
}
// The nearest deadline above the task, if any; completes at once. To hand on to another process, say.
inline detail::scope_query<detail::its_deadline> nearest_deadline() noexcept {
    return {};
}

namespace detail {

class holds_shield {
  public:
    static constexpr bool keeps_deadlines_out = true;

    holds_shield() noexcept = default;
    holds_shield(holds_shield&&) noexcept {} // before it is awaited
    cancel_scope& open(cancel_scope& parent) noexcept {
        return scope_.emplace(&parent, cancel_scope::shielded{});
    }

  private:
    std::optional<cancel_scope> scope_;
};

// A scope that other threads may cancel. What they post must outlive the scope, since it may still be on its way
// when the scope ends.
class remote_cancel final : private posted_work {
  public:
    explicit remote_cancel(cancel_scope& parent) noexcept
        : scope_(std::in_place, &parent)
        , home_(parent.home()) {}

    cancel_scope& scope() noexcept { return *scope_; }
    void from_any_thread() noexcept {
        if (!posted_.exchange(true)) home_.post(*this);
    }
    // The scope's last waiter has left, and no thread will come any more.
    void release() noexcept {
        scope_.reset();
        if (!posted_.load() || ran_) delete this;
    }

  private:
    ~remote_cancel() = default;
    void run() noexcept override {
        ran_ = true;
        if (scope_)
            scope_->cancel();
        else
            delete this;
    }

    std::optional<cancel_scope> scope_;
    executor& home_;
    std::atomic<bool> posted_ = false;
    bool ran_ = false;
};

class holds_stop_token {
  public:
    explicit holds_stop_token(std::stop_token token) noexcept
        : token_(std::move(token)) {}
    holds_stop_token(holds_stop_token&& other) noexcept // before it is awaited
        : token_(std::move(other.token_)) {}

    cancel_scope& open(cancel_scope& parent) {
        cancel_.reset(new remote_cancel(parent));
        if (token_.stop_requested())
            cancel_->scope().cancel(); // nothing is started any more
        else
            callback_.emplace(std::move(token_), request{cancel_.get()});
        return cancel_->scope();
    }

  private:
    struct request {
        remote_cancel* target;
        void operator()() const noexcept { target->from_any_thread(); }
    };
    struct release {
        void operator()(remote_cancel* released) const noexcept { released->release(); }
    };

    std::stop_token token_;
    std::unique_ptr<remote_cancel, release> cancel_;
    std::optional<std::stop_callback<request>> callback_; // dies first, and waits for one that runs
};

} // namespace detail

// Awaits an operation or a task that no cancellation and no deadline from above reaches: for the few steps that must
// be taken to their end. Give it a limit of its own: shield(timeout(1s, ...)).
//
// Everything else is as without it.
template <detail::awaitable Awaitable> auto shield(Awaitable awaited) noexcept {
    using awaiter = detail::waiter_for<Awaitable>;
    return detail::scoped_awaiter<detail::holds_shield, awaiter>({}, detail::waiter_of(std::move(awaited)));
}

// Awaits an operation or a task, which is also cancelled when `token` is stopped, on whatever thread; one that is
// stopped already cancels it before it starts.
//
// Everything else is as without it.
template <detail::awaitable Awaitable> auto cancel_on(std::stop_token token, Awaitable awaited) noexcept {
    using awaiter = detail::waiter_for<Awaitable>;
    return detail::scoped_awaiter<detail::holds_stop_token, awaiter>(
        detail::holds_stop_token(std::move(token)), detail::waiter_of(std::move(awaited)));
}

// A std::stop_source that is stopped when the scope of the task that made it is cancelled. Its callbacks then run on
// the executor's thread, within the call that cancels. As long as it lives it belongs to that task.
class linked_stop_source final : private waiter {
  public:
    explicit linked_stop_source(cancel_scope& scope) {
        scope.add(*this);
        if (scope.cancelled()) source_.request_stop();
    }
    // It is in the scope's list.
    linked_stop_source(const linked_stop_source&) = delete;
    linked_stop_source& operator=(const linked_stop_source&) = delete;

    std::stop_token token() const noexcept { return source_.get_token(); }

  private:
    void cancel() noexcept override { source_.request_stop(); }

    std::stop_source source_;
};

namespace detail {
struct its_stop_source {
    linked_stop_source operator()(cancel_scope& scope) const { return linked_stop_source(scope); }
};
} // namespace detail

inline detail::scope_query<detail::its_stop_source> link_stop_source() noexcept {
    return {};
}

} // namespace chainring

// child: a handle on what a spawned task returns.
//
//     cr::child<cr::result<int>> left = group.start(count(a));
//     const int right = co_await cr::try_(count(b));
//     const int sum = co_await cr::try_(left.outcome()) + right;
//
// The group joins the task whether or not anybody awaits the handle. An exception of the task is the group's, as that
// of any other child; an error is only for whoever holds the handle.
#pragma once

#include <chainring/runtime/task_group.hpp>

#include <memory>
#include <optional>
#include <variant>

namespace chainring {

namespace detail {

// Filled by the child, read by the handle, and gone with the last of the two.
class child_end {
  public:
    // The one that waits for the end, until it goes on.
    waiter* waiting = nullptr;
    executor* home = nullptr;
    bool ended = false;
    bool taken = false; // the value

    void tell() noexcept {
        ended = true;
        if (waiting != nullptr) home->ready().push(*waiting);
    }
};

template <class T> struct child_state : child_end {
    std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> value; // nothing: it threw
};

template <class T> task<> fill(task<T> started, std::shared_ptr<child_state<T>> state) {
    struct tell_at_the_end {
        child_end& end;
        ~tell_at_the_end() { end.tell(); }
    } const telling{*state};
    if constexpr (std::is_void_v<T>) {
        co_await std::move(started);
        state->value.emplace();
    } else {
        auto value = co_await std::move(started);
        state->value.emplace(std::move(value));
    }
}

} // namespace detail

template <class T> class [[nodiscard("co_await it")]] child_operation : public operation<child_operation<T>> {
  public:
    using outcome = as_result<T>;

    explicit child_operation(std::shared_ptr<detail::child_state<T>> state) noexcept
        : state_(std::move(state)) {}
    child_operation(child_operation&&) = default;
    ~child_operation() {
        if (state_ && state_->waiting == this) state_->waiting = nullptr;
    }

    bool start(executor& home) noexcept {
        if (state_->waiting != nullptr) {
            error_ = errc::busy;
            return false;
        }
        state_->home = &home;
        state_->waiting = this;
        return !state_->ended;
    }
    void refuse(fault error) noexcept {
        if (!state_->ended)
            error_ = error;
        else if (state_->waiting == nullptr)
            state_->waiting = this;
        else
            error_ = errc::busy;
    }
    void describe(task_tree& to) const override { to.waits("the end of a child"); }
    void cancel() noexcept override {
        state_->waiting = nullptr;
        error_ = errc::cancelled;
        state_->home->ready().push(*this);
    }
    outcome await_resume() {
        if (error_) return failure(error_);
        state_->waiting = nullptr;
        if (!state_->value) return failure(errc::cancelled); // it threw, which has cancelled the group
        if (std::exchange(state_->taken, true)) return failure(errc::value_taken);
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return std::move(*state_->value);
    }

  private:
    std::shared_ptr<detail::child_state<T>> state_;
    fault error_;
};

// Move-only. May be dropped, and may outlive the group.
template <class T> class child {
  public:
    child(child&&) noexcept = default;
    child& operator=(child&&) noexcept = default;

    bool ended() const noexcept { return state_->ended; }

    // completes when: the child has ended; at once if it has
    // errors:         those of the child; errc::cancelled if this wait was cancelled, or if the child threw, in which
    //                 case the exception is the group's; errc::busy while another task waits; errc::value_taken if
    //                 the value was handed out before
    // cancellation:   at once; it does not reach the child, and the value can still be awaited
    // ownership:      of the value
    // thread:         the executor's
    child_operation<T> outcome() noexcept { return child_operation<T>(state_); }

  private:
    friend task_group;
    explicit child(std::shared_ptr<detail::child_state<T>> state) noexcept
        : state_(std::move(state)) {}

    std::shared_ptr<detail::child_state<T>> state_;
};

template <class T> child<T> task_group::start(task<T> started) {
    auto state = std::make_shared<detail::child_state<T>>();
    spawn(detail::fill(std::move(started), state));
    return child<T>(std::move(state));
}

} // namespace chainring

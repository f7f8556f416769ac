// deadline and timeout: an operation or a task that must end by a point in time.
//
//     auto chunk = co_await cr::timeout(5s, peer.receive());
//     if (!chunk && chunk.error() == cr::errc::timed_out) ...
//
//     co_await cr::try_(cr::deadline(at, handle(request)));
//
// A deadline is context: it cancels whatever waits in it and in the tasks below, and it is they who end, each with
// its own result. So a deadline that passes never loses what an operation has done by then; and of nested deadlines
// the nearest one counts.
#pragma once

#include <chainring/runtime/scoped_await.hpp>

#include <optional>
#include <tuple>
#include <vector>

namespace chainring {

template <class Outcomes> struct race;

// A scope that is cancelled when its time has come.
class deadline_scope final : public cancel_scope, private timer {
  public:
    deadline_scope(cancel_scope& parent, time_point at) noexcept
        : cancel_scope(&parent, at) {
        if (cancelled()) return;
        if (at <= home().behind().now()) {
            home().behind().about_to_be_late(at);
            fire(); // nothing is started any more
        } else if (at == deadline()) {
            home().timers().arm(*this, at);
        } // else a scope above is cancelled before
    }

    // From here on time does nothing to it. True: its own time had come, and nothing else cancelled it before.
    bool end() noexcept {
        cancel_timer();
        return expired_;
    }

  private:
    void fire() noexcept override {
        if (cancelled()) return;
        expired_ = true;
        cancel();
    }

    bool expired_ = false;
};

namespace detail {

class time_limit {
  public:
    explicit time_limit(time_point deadline) noexcept
        : deadline_(deadline) {}
    explicit time_limit(duration delay) noexcept
        : delay_(delay)
        , relative_(true) {}

    time_point from(time_point now) const noexcept {
        if (!relative_) return deadline_;
        return delay_ < time_point::max() - now ? now + delay_ : time_point::max();
    }

  private:
    time_point deadline_{};
    duration delay_{};
    bool relative_ = false;
};

class holds_deadline {
  public:
    explicit holds_deadline(time_limit limit) noexcept
        : limit_(limit) {}
    holds_deadline(holds_deadline&& other) noexcept // before it is awaited
        : limit_(other.limit_) {}

    cancel_scope& open(cancel_scope& parent) noexcept {
        return scope_.emplace(parent, limit_.from(parent.home().behind().now()));
    }
    time_point deadline() const noexcept { return scope_->deadline(); }
    // True: what ended was cancelled because its time had come.
    bool end() noexcept { return scope_->end(); }

  private:
    time_limit limit_;
    std::optional<deadline_scope> scope_;
};

// What was cancelled because its time had come says so: a result, and the results that when_all and the races bring.
struct as_timed_out {
    template <class Value> static void tell(Value&) noexcept {}
    template <class T> static void tell(result<T>& ended) noexcept {
        if (!ended && ended.error() == errc::cancelled) ended = failure(errc::timed_out);
    }
    template <class... Outcomes> static void tell(std::tuple<Outcomes...>& all) noexcept {
        std::apply([](auto&... each) { (tell(each), ...); }, all);
    }
    template <class Outcome> static void tell(std::vector<Outcome>& all) noexcept {
        for (Outcome& each : all) tell(each);
    }
    template <class Outcomes> static void tell(race<Outcomes>& ended) noexcept { tell(ended.outcomes); }
};

template <std::derived_from<waiter> Awaiter>
class timed_awaiter : public scoped_awaiter<holds_deadline, Awaiter> {
    using inner = decltype(std::declval<Awaiter&>().await_resume());
    using outcome = std::conditional_t<std::is_void_v<inner>, result<void>, inner>;

  public:
    using scoped_awaiter<holds_deadline, Awaiter>::scoped_awaiter;

    outcome await_resume() {
        const bool expired = this->holder().end();
        if constexpr (std::is_void_v<inner>) {
            Awaiter::await_resume();
            if (expired) return failure(errc::timed_out);
            return {};
        } else if constexpr (std::is_reference_v<inner>) {
            return Awaiter::await_resume();
        } else {
            outcome ended = Awaiter::await_resume();
            if (expired) as_timed_out::tell(ended);
            return ended;
        }
    }
};

template <awaitable Awaitable> auto within(time_limit limit, Awaitable awaited) noexcept {
    return timed_awaiter<waiter_for<Awaitable>>(holds_deadline(limit), waiter_of(std::move(awaited)));
}

} // namespace detail

// Awaits an operation or a task, and cancels it when the time has come. A point in time that has passed and a
// duration of zero or less cancel it before it starts: an operation has no effect then, a task runs and finds every
// operation cancelled.
//
// completes when: what is awaited has ended. Its result comes through, with what it did until then; if it ended with
//                 errc::cancelled because the time had come, the error is errc::timed_out, and so it is in the outcomes
//                 of when_all, when_any and race_success. A task<> gets a result<void>: errc::timed_out if its time had
//                 come. Any other value comes through as it is, whenever it came: no deadline takes away what was done,
//                 and a task that is to say that it was cut short returns a result.
// errors:         errc::timed_out; errc::cancelled from without; and those of what is awaited
// cancellation:   reaches what is awaited
// ownership:      of what is awaited
// thread:         the executor's
template <detail::awaitable Awaitable> auto deadline(time_point at, Awaitable awaited) noexcept {
    return detail::within(detail::time_limit(at), std::move(awaited));
}
template <class Rep, class Period, detail::awaitable Awaitable>
auto timeout(std::chrono::duration<Rep, Period> limit, Awaitable awaited) noexcept {
    return detail::within(detail::time_limit(saturated(limit)), std::move(awaited));
}

} // namespace chainring

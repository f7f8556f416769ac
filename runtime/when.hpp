// when_all, when_any and race_success: several things awaited at once, operations or tasks, of different types or in
// a vector.
//
//     auto [name, age] = co_await cr::when_all(ask_name(), ask_age());
//     auto ended = co_await cr::when_any(peer.receive(), cr::sleep(5s));
//     if (ended.winner == 0) use(std::get<0>(ended.outcomes));
//     auto connected = co_await cr::race_success(std::move(attempts));
//
// Whoever has lost is cancelled and joined before any of them completes, and every outcome is handed out: what a loser
// has received by then is not lost. A result<T> stands as it is, for void stands std::monostate.
#pragma once

#include <chainring/runtime/scoped_await.hpp>
#include <chainring/runtime/task_group.hpp>

#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace chainring {

// Outcomes: a tuple or a vector, in the order of what was awaited.
template <class Outcomes> struct race {
    std::optional<std::size_t> winner; // its place; none in a race of nobody, or that nobody won
    Outcomes outcomes;
};

namespace detail {

template <class T> using or_monostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
template <class Awaitable>
using outcome_of = or_monostate<decltype(std::declval<waiter_for<Awaitable>&>().await_resume())>;

enum class ends_with { first_error, first_end, first_success };

// Who has ended it, and how the others are told.
class contest {
  public:
    contest(cancel_scope& parent, ends_with rule) noexcept
        : group_(parent)
        , rule_(rule) {}

    template <awaitable Awaitable> void enter(Awaitable awaited, std::optional<outcome_of<Awaitable>>& into) {
        group_.spawn(run(*this, next_++, std::move(awaited), into));
    }
    auto join() noexcept { return group_.join(); }
    std::optional<std::size_t> winner() const noexcept { return winner_; }

  private:
    template <class Awaitable>
    static task<>
    run(contest& in, std::size_t place, Awaitable awaited, std::optional<outcome_of<Awaitable>>& into) {
        bool succeeded = true;
        if constexpr (std::is_void_v<decltype(std::declval<waiter_for<Awaitable>&>().await_resume())>) {
            co_await std::move(awaited);
            into.emplace();
        } else {
            auto outcome = co_await std::move(awaited);
            into.emplace(std::move(outcome));
            if constexpr (is_result<outcome_of<Awaitable>>) succeeded = into->has_value();
        }
        in.ended(place, succeeded);
    }

    void ended(std::size_t place, bool succeeded) noexcept {
        const bool ends = rule_ == ends_with::first_end || (rule_ == ends_with::first_success) == succeeded;
        if (!ends || winner_) return;
        winner_ = place;
        group_.cancel();
    }

    task_group group_;
    ends_with rule_;
    std::size_t next_ = 0;
    std::optional<std::size_t> winner_;
};

template <awaitable... Awaitables>
task<race<std::tuple<outcome_of<Awaitables>...>>> hold(ends_with rule, Awaitables... awaited) {
    std::tuple<std::optional<outcome_of<Awaitables>>...> ended;
    cancel_scope& parent = co_await this_scope{};
    contest all(parent, rule);
    const auto enter_all = [&]<std::size_t... At>(std::index_sequence<At...>) {
        (all.enter(std::move(awaited), std::get<At>(ended)), ...);
    };
    enter_all(std::index_sequence_for<Awaitables...>());
    co_await all.join();
    const auto taken = [](auto&... each) {
        return std::tuple<outcome_of<Awaitables>...>(std::move(*each)...);
    };
    co_return race<std::tuple<outcome_of<Awaitables>...>>{all.winner(), std::apply(taken, ended)};
}

template <awaitable Awaitable>
task<race<std::vector<outcome_of<Awaitable>>>> hold(ends_with rule, std::vector<Awaitable> awaited) {
    std::vector<std::optional<outcome_of<Awaitable>>> ended(awaited.size());
    cancel_scope& parent = co_await this_scope{};
    contest all(parent, rule);
    for (std::size_t at = 0; at < awaited.size(); ++at) all.enter(std::move(awaited[at]), ended[at]);
    co_await all.join();
    race<std::vector<outcome_of<Awaitable>>> told{all.winner(), {}};
    told.outcomes.reserve(ended.size());
    for (auto& each : ended) told.outcomes.push_back(std::move(*each));
    co_return told;
}

template <class Outcomes> task<Outcomes> outcomes_of(task<race<Outcomes>> held) {
    auto told = co_await std::move(held);
    co_return std::move(told.outcomes);
}

} // namespace detail

// All of them: a tuple, or a vector, of their outcomes.
//
// completes when: all have ended. The first error cancels the others; an exception does, and is rethrown then.
// cancellation:   reaches all
// ownership:      of what is awaited, and of the outcomes
// thread:         the executor's
template <detail::awaitable... Awaitables> auto when_all(Awaitables... awaited) {
    return detail::outcomes_of(detail::hold(detail::ends_with::first_error, std::move(awaited)...));
}
template <detail::awaitable Awaitable> auto when_all(std::vector<Awaitable> awaited) {
    return detail::outcomes_of(detail::hold(detail::ends_with::first_error, std::move(awaited)));
}

// The first that ends, with a value or an error, is the winner and cancels the others: a `race` of their outcomes.
//
// completes when: all have ended, the winner first
// The rest is as for when_all.
template <detail::awaitable... Awaitables> auto when_any(Awaitables... awaited) {
    return detail::hold(detail::ends_with::first_end, std::move(awaited)...);
}
template <detail::awaitable Awaitable> auto when_any(std::vector<Awaitable> awaited) {
    return detail::hold(detail::ends_with::first_end, std::move(awaited));
}

// The first that ends with a value is the winner and cancels the others; without one there is no winner, and the
// outcomes are all the errors. The rest is as for when_any.
template <detail::awaitable... Awaitables> auto race_success(Awaitables... awaited) {
    return detail::hold(detail::ends_with::first_success, std::move(awaited)...);
}
template <detail::awaitable Awaitable> auto race_success(std::vector<Awaitable> awaited) {
    return detail::hold(detail::ends_with::first_success, std::move(awaited));
}

} // namespace chainring

// when_all, when_any and race_success: several things awaited at once, operations or tasks, of different types or in
// a tuple or range.
//
//     auto [name, age] = co_await cr::when_all(ask_name(), ask_age());
//     auto ended = co_await cr::when_any(peer.receive(), cr::sleep(5s));
//     if (ended.winner == 0) use(std::get<0>(ended.outcomes));
//     auto connected = co_await cr::race_success(std::move(attempts));
//
// Whoever has lost is cancelled and joined before any of them completes, and every outcome is handed out: what a loser
// has received by then is not lost, and what the winner has is not either if a loser throws. So the outcomes of a race are
// results, of what returns none too. Those of when_all stand as they are, with std::monostate for void.
#pragma once

#include <chainring/runtime/scoped_await.hpp>
#include <chainring/runtime/task_group.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <ranges>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace chainring {

// Outcomes: a tuple or a vector of results, in the order of what was awaited.
template <class Outcomes> struct race {
    std::optional<std::size_t> winner; // its place; none in a race of nobody, or that nobody won
    Outcomes outcomes;
    // The first that a loser threw after the race was won. The outcome of such a loser is errc::cancelled.
    std::exception_ptr thrown_by_loser;
};

namespace detail {

enum class ends_with { first_error, first_end, first_success };

template <class T> using or_monostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
template <class Awaitable>
using returned_by = decltype(std::declval<waiter_for<Awaitable>&>().await_resume());
// In a race it may be that of a loser who threw.
template <ends_with rule, class Awaitable>
using outcome_of = std::conditional_t<
    rule == ends_with::first_error, or_monostate<returned_by<Awaitable>>, as_result<returned_by<Awaitable>>>;

// Who has ended it, and how the others are told.
template <ends_with rule> class contest {
  public:
    explicit contest(cancel_scope& parent) noexcept
        : group_(parent) {}

    template <awaitable Awaitable>
    void enter(Awaitable awaited, std::optional<outcome_of<rule, Awaitable>>& into) {
        group_.spawn(run(*this, next_++, std::move(awaited), into));
    }
    auto join() noexcept { return group_.join(); }
    // How it ended, when all are joined.
    template <class Outcomes> race<Outcomes> told(Outcomes outcomes) {
        return {winner_, std::move(outcomes), std::move(thrown_by_loser_)};
    }

  private:
    template <class Awaitable>
    static task<>
    run(contest& in, std::size_t place, Awaitable awaited, std::optional<outcome_of<rule, Awaitable>>& into) {
        bool succeeded = true;
        try {
            if constexpr (std::is_void_v<returned_by<Awaitable>>) {
                co_await std::move(awaited);
                into.emplace();
            } else {
                auto outcome = co_await std::move(awaited);
                into.emplace(std::move(outcome));
                if constexpr (is_result<returned_by<Awaitable>>) succeeded = into->has_value();
            }
        } catch (...) {
            if (rule == ends_with::first_error || !in.winner_) throw;
            if constexpr (rule != ends_with::first_error) into.emplace(failure(errc::cancelled));
            if (!in.thrown_by_loser_) in.thrown_by_loser_ = std::current_exception();
            co_return;
        }
        in.ended(place, succeeded);
    }

    void ended(std::size_t place, bool succeeded) noexcept {
        const bool ends = rule == ends_with::first_end || (rule == ends_with::first_success) == succeeded;
        if (!ends || winner_) return;
        winner_ = place;
        group_.cancel();
    }

    task_group group_;
    std::size_t next_ = 0;
    std::optional<std::size_t> winner_;
    std::exception_ptr thrown_by_loser_;
};

template <ends_with rule, awaitable... Awaitables>
task<race<std::tuple<outcome_of<rule, Awaitables>...>>> hold(Awaitables... awaited) {
    std::tuple<std::optional<outcome_of<rule, Awaitables>>...> ended;
    cancel_scope& parent = co_await this_scope{};
    contest<rule> all(parent);
    const auto enter_all = [&]<std::size_t... At>(std::index_sequence<At...>) {
        (all.enter(std::move(awaited), std::get<At>(ended)), ...);
    };
    enter_all(std::index_sequence_for<Awaitables...>());
    co_await all.join();
    const auto taken = [](auto&... each) {
        return std::tuple<outcome_of<rule, Awaitables>...>(std::move(*each)...);
    };
    co_return all.told(std::apply(taken, ended));
}

template <ends_with rule, awaitable Awaitable>
task<race<std::vector<outcome_of<rule, Awaitable>>>> hold(std::vector<Awaitable> awaited) {
    std::vector<std::optional<outcome_of<rule, Awaitable>>> ended(awaited.size());
    cancel_scope& parent = co_await this_scope{};
    contest<rule> all(parent);
    for (std::size_t at = 0; at < awaited.size(); ++at) all.enter(std::move(awaited[at]), ended[at]);
    co_await all.join();
    std::vector<outcome_of<rule, Awaitable>> outcomes;
    outcomes.reserve(ended.size());
    for (auto& each : ended) outcomes.push_back(std::move(*each));
    co_return all.told(std::move(outcomes));
}

template <ends_with rule, awaitable... Awaitables> auto hold(std::tuple<Awaitables...> awaited) {
    const auto hold_each = [](Awaitables&... each) { return hold<rule>(std::move(each)...); };
    return std::apply(hold_each, awaited);
}

// Whose elements are taken: of a container that is given away, or made one by one by a view.
template <class Range>
concept range_of_awaitables = std::ranges::input_range<Range> && awaitable<std::ranges::range_value_t<Range>>;

template <ends_with rule, range_of_awaitables Range> auto hold(Range awaited) {
    std::vector<std::ranges::range_value_t<Range>> all;
    for (auto&& each : awaited) all.push_back(std::move(each));
    return hold<rule>(std::move(all));
}

template <class Outcomes> task<Outcomes> outcomes_of(task<race<Outcomes>> held) {
    auto told = co_await std::move(held);
    co_return std::move(told.outcomes);
}

} // namespace detail

// All of them: a tuple of their outcomes, or of a range a vector.
//
// completes when: all have ended. The first error cancels the others; an exception does, and is rethrown then, in place
//                 of all outcomes
// cancellation:   reaches all
// ownership:      of what is awaited, and of the outcomes
// thread:         the executor's
template <detail::awaitable... Awaitables> auto when_all(Awaitables... awaited) {
    return detail::outcomes_of(detail::hold<detail::ends_with::first_error>(std::move(awaited)...));
}
template <detail::awaitable... Awaitables> auto when_all(std::tuple<Awaitables...> awaited) {
    return detail::outcomes_of(detail::hold<detail::ends_with::first_error>(std::move(awaited)));
}
template <detail::range_of_awaitables Range> auto when_all(Range awaited) {
    return detail::outcomes_of(detail::hold<detail::ends_with::first_error>(std::move(awaited)));
}

// The first that ends, with a value or an error, is the winner and cancels the others: a `race` of their outcomes.
//
// completes when: all have ended, the winner first. What a loser throws after that leaves the outcomes alone
//                 (`thrown_by_loser`); an exception before there is a winner cancels the others and is rethrown
// The rest is as for when_all.
template <detail::awaitable... Awaitables> auto when_any(Awaitables... awaited) {
    return detail::hold<detail::ends_with::first_end>(std::move(awaited)...);
}
template <detail::awaitable... Awaitables> auto when_any(std::tuple<Awaitables...> awaited) {
    return detail::hold<detail::ends_with::first_end>(std::move(awaited));
}
template <detail::range_of_awaitables Range> auto when_any(Range awaited) {
    return detail::hold<detail::ends_with::first_end>(std::move(awaited));
}

// The first that ends with a value is the winner and cancels the others; without one there is no winner, and the
// outcomes are all the errors. The rest is as for when_any.
template <detail::awaitable... Awaitables> auto race_success(Awaitables... awaited) {
    return detail::hold<detail::ends_with::first_success>(std::move(awaited)...);
}
template <detail::awaitable... Awaitables> auto race_success(std::tuple<Awaitables...> awaited) {
    return detail::hold<detail::ends_with::first_success>(std::move(awaited));
}
template <detail::range_of_awaitables Range> auto race_success(Range awaited) {
    return detail::hold<detail::ends_with::first_success>(std::move(awaited));
}

} // namespace chainring

#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <array>
#include <list>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<int>> gives(duration time, int value) {
    co_await try_(sleep(time));
    co_return value;
}

task<result<int>> fails(duration time, errc error) {
    co_await try_(sleep(time));
    co_return failure(error);
}

task<std::unique_ptr<std::string>> makes(std::string text) {
    co_await yield();
    co_return std::make_unique<std::string>(std::move(text));
}

task<int> throws(duration time) {
    (void)co_await sleep(time);
    throw std::runtime_error("thrown");
}

task<> does_nothing() {
    co_return;
}

// Ends some time after its cancellation.
task<result<int>> stubborn(duration time, bool& ended) {
    const result<void> slept = co_await sleep(1h);
    (void)co_await shield(sleep(time));
    ended = true;
    if (!slept) co_return failure(slept.error());
    co_return 0;
}

} // namespace

TEST_CASE("when_all_gives_every_outcome_in_its_place") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    pipe_ends pipe;
    pipe.write("data");
    used.run([](virtual_clock& time, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        const time_point begin = time.now();
        auto [number, text, none, read, slept] = co_await when_all(
            gives(2s, 7), makes("text"), does_nothing(), read_into(from.reading(), memory), sleep(1s));
        CHECK(number == 7);
        CHECK(*text == "text");
        CHECK(none == std::monostate());
        CHECK(read == 4);
        CHECK(slept.has_value());
        CHECK(time.now() - begin >= 2s);
        CHECK(time.now() - begin < 3s); // side by side
    }(clock, pipe));
    check_baseline(used);
}

TEST_CASE("the_first_error_of_when_all_cancels_the_others") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        auto [slow, failing, quick] = co_await when_all(gives(1h, 1), fails(2s, errc::broken), gives(1s, 3));
        CHECK(slow == failure(errc::cancelled));
        CHECK(failing == failure(errc::broken));
        CHECK(quick == 3);
        CHECK(time.now() - begin < 3s);
    }(clock));
    check_baseline(used);
}

TEST_CASE("when_all_and_the_races_take_vectors_and_nobody_at_all") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        std::vector<task<result<int>>> many;
        for (int at = 0; at < 100; ++at) many.push_back(gives(std::chrono::milliseconds(100 - at), at));
        const std::vector<result<int>> all = co_await when_all(std::move(many));
        REQUIRE(all.size() == 100);
        for (int at = 0; at < 100; ++at) CHECK(all[static_cast<std::size_t>(at)] == at);

        std::vector<task<result<int>>> some;
        for (int at = 0; at < 10; ++at) some.push_back(gives(std::chrono::seconds(20 - at), at));
        const auto first = co_await when_any(std::move(some));
        CHECK(first.winner == 9U);
        CHECK(first.outcomes.size() == 10);

        const std::vector<result<int>> none = co_await when_all(std::vector<task<result<int>>>());
        CHECK(none.empty());
        const auto nobody = co_await when_any(std::vector<task<>>());
        CHECK_FALSE(nobody.winner.has_value());
        const auto nobody_at_all = co_await race_success(std::vector<task<>>());
        CHECK_FALSE(nobody_at_all.winner.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("when_any_ends_with_the_first_that_ends_and_joins_the_losers") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    const bool winner_fails = GENERATE(false, true);
    used.run([](virtual_clock& time, bool fails_) -> task<> {
        const time_point begin = time.now();
        bool loser_ended = false;
        task<result<int>> winner = fails_ ? fails(1s, errc::broken) : gives(1s, 7);
        const auto told = co_await when_any(stubborn(5s, loser_ended), std::move(winner), sleep(1h));
        CHECK(loser_ended);
        CHECK(told.winner == 1U);
        CHECK(std::get<0>(told.outcomes) == failure(errc::cancelled));
        if (fails_)
            CHECK(std::get<1>(told.outcomes) == failure(errc::broken));
        else
            CHECK(std::get<1>(told.outcomes) == 7);
        CHECK(std::get<2>(told.outcomes) == failure(errc::cancelled));
        CHECK(time.now() - begin >= 6s);
        CHECK(time.now() - begin < 7s);
    }(clock, winner_fails));
    check_baseline(used);
}

TEST_CASE("what_a_loser_has_received_is_handed_out") {
    virtual_clock clock;
    executor used({}, clock);
    pipe_ends pipe;
    used.run([](pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        from.write("data");
        // Both complete in the same turn.
        const auto told = co_await when_any(no_operation(), read_into(from.reading(), memory));
        CHECK(told.winner == 0U);
        CHECK(std::get<1>(told.outcomes) == 4);
        CHECK(std::string_view(memory.data(), 4) == "data");
    }(pipe));
    check_baseline(used);
}

TEST_CASE("race_success_ends_with_the_first_value_and_without_one_tells_every_error") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        const auto won = co_await race_success(fails(1s, errc::broken), gives(2s, 7), gives(1h, 8));
        CHECK(won.winner == 1U);
        CHECK(std::get<0>(won.outcomes) == failure(errc::broken));
        CHECK(std::get<1>(won.outcomes) == 7);
        CHECK(std::get<2>(won.outcomes) == failure(errc::cancelled));
        CHECK(time.now() - begin < 3s);
        std::vector<task<result<int>>> all;
        all.push_back(fails(2s, errc::broken));
        all.push_back(fails(1s, errc::closed));
        const auto lost = co_await race_success(std::move(all));
        CHECK_FALSE(lost.winner.has_value());
        REQUIRE(lost.outcomes.size() == 2);
        CHECK(lost.outcomes[0] == failure(errc::broken));
        CHECK(lost.outcomes[1] == failure(errc::closed));
    }(clock));
    check_baseline(used);
}

TEST_CASE("an_exception_ends_a_race_and_comes_out_when_all_are_joined") {
    virtual_clock clock;
    executor used({}, clock);
    const int which = GENERATE(0, 1, 2);
    used.run([](int which_) -> task<> {
        bool loser_ended = false;
        bool thrown = false;
        try {
            if (which_ == 0) (void)co_await when_all(stubborn(5s, loser_ended), throws(1s));
            if (which_ == 1) (void)co_await when_any(stubborn(5s, loser_ended), throws(1s));
            if (which_ == 2) (void)co_await race_success(stubborn(5s, loser_ended), throws(1s));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
        CHECK(loser_ended);
    }(which));
    check_baseline(used);
}

TEST_CASE("a_race_that_is_cancelled_from_without_ends") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        const auto any = co_await timeout(1s, when_any(gives(1h, 1), gives(1h, 2)));
        CHECK(std::get<0>(any.outcomes) == failure(errc::timed_out));
        CHECK(std::get<1>(any.outcomes) == failure(errc::timed_out));
        const auto success = co_await timeout(1s, race_success(gives(1h, 1), gives(1h, 2)));
        CHECK_FALSE(success.winner.has_value());
    }());
    check_baseline(used);
}

namespace {

// Throws when it is cancelled.
task<int> throws_at_its_cancellation(const char* text) {
    (void)co_await sleep(1h);
    throw std::runtime_error(text);
}

std::string text_of(const std::exception_ptr& exception) {
    if (!exception) return "no exception";
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& thrown) {
        return thrown.what();
    }
}

} // namespace

TEST_CASE("what_the_winner_has_is_not_lost_when_losers_throw_at_their_cancellation") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    const bool any = GENERATE(true, false);
    pipe_ends pipe;
    pipe.write("data");
    used.run([](pipe_ends& from, bool any_) -> task<> {
        std::array<char, 16> memory{};
        race<std::tuple<result<int>, result<int>, result<int>>> told;
        auto reading = read_into(from.reading(), memory);
        auto first = throws_at_its_cancellation("first");
        auto second = throws_at_its_cancellation("second");
        if (any_)
            told = co_await when_any(std::move(first), std::move(reading), std::move(second));
        else
            told = co_await race_success(std::move(first), std::move(reading), std::move(second));
        CHECK(told.winner == 1U);
        CHECK(std::get<1>(told.outcomes) == 4);
        CHECK(std::get<0>(told.outcomes) == failure(errc::cancelled));
        CHECK(std::get<2>(told.outcomes) == failure(errc::cancelled));
        CHECK(text_of(told.thrown_by_loser) == "first");
        std::vector<task<int>> many;
        many.push_back(throws_at_its_cancellation("loser"));
        many.push_back([]() -> task<int> { co_return 7; }());
        const auto of_a_vector = co_await when_any(std::move(many));
        CHECK(of_a_vector.winner == 1U);
        CHECK(of_a_vector.outcomes[0] == failure(errc::cancelled));
        CHECK(of_a_vector.outcomes[1] == 7);
        CHECK(text_of(of_a_vector.thrown_by_loser) == "loser");
        const auto nobody_threw = co_await when_any(does_nothing(), gives(1s, 1));
        CHECK(std::get<0>(nobody_threw.outcomes).has_value());
        CHECK_FALSE(nobody_threw.thrown_by_loser);
    }(pipe, any));
    check_baseline(used);
}

TEST_CASE("when_all_and_the_races_take_tuples_and_ranges") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        std::array<task<result<int>>, 2> both{gives(2s, 1), gives(1s, 2)};
        const std::vector<result<int>> all = co_await when_all(std::move(both));
        CHECK(all == std::vector<result<int>>{1, 2});

        std::list<task<result<int>>> some;
        for (const int at : {3, 1, 2}) some.push_back(gives(std::chrono::seconds(at), at));
        const auto first = co_await when_any(std::move(some));
        CHECK(first.winner == 1U);

        auto made = std::views::iota(1, 4) |
                    std::views::transform([](int at) { return gives(std::chrono::seconds(at), at); });
        const auto best = co_await race_success(made);
        CHECK(best.winner == 0U);

        std::tuple<task<result<int>>, sleep_operation> different(gives(1s, 5), sleep(1h));
        const auto ended = co_await when_any(std::move(different));
        CHECK(ended.winner == 0U);
        CHECK(std::get<0>(ended.outcomes) == 5);
    }());
    check_baseline(used);
}

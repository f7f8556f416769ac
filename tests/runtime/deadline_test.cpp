#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<void>> sleeps(duration time) {
    co_return co_await sleep(time);
}

task<int> sleeps_and_returns(duration time, int value) {
    (void)co_await sleep(time);
    co_return value;
}

task<result<int>> returns(int value) {
    co_await yield();
    co_return value;
}

task<> sleeps_and_forgets(duration time) {
    (void)co_await sleep(time);
}

// Ends only when somebody has opened the gate, whoever cancels it.
task<result<void>> stubborn(gate& until, duration time) {
    const result<void> slept = co_await sleep(time);
    co_await until;
    co_return slept;
}

} // namespace

TEST_CASE("an_operation_that_ends_in_time_has_its_own_result") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    pipe_ends pipe;
    pipe.write("data");
    used.run([](kernel& time, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        const result<int> read = co_await timeout(1s, read_into(from.reading(), memory));
        CHECK(read == 4);
        const result<void> slept = co_await deadline(time.now() + 1h, sleeps(1s));
        CHECK(slept.has_value());
        const int value = co_await timeout(1h, sleeps_and_returns(1s, 7));
        CHECK(value == 7);
        const result<void> ended = co_await timeout(1h, sleeps_and_forgets(1s));
        CHECK(ended.has_value());
        const result<int> failed = co_await timeout(1h, read_into(-1, memory));
        CHECK(failed == failure(from_errno(EBADF)));
    }(clock, pipe));
    check_baseline(used);
}

TEST_CASE("what_has_not_ended_in_time_is_cancelled_and_has_timed_out") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    pipe_ends pipe;
    used.run([](virtual_clock& time, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        const time_point begin = time.now();
        const result<int> read = co_await timeout(1s, read_into(from.reading(), memory));
        CHECK(read == failure(errc::timed_out));
        CHECK(read.error() == std::errc::timed_out);
        CHECK(time.now() - begin >= 1s);
        CHECK(time.now() - begin < 1100ms);
        const result<void> slept = co_await timeout(1s, sleep(1h));
        CHECK(slept == failure(errc::timed_out));
        const result<void> child = co_await timeout(1s, sleeps(1h));
        CHECK(child == failure(errc::timed_out));
        const result<void> forgets = co_await timeout(1s, sleeps_and_forgets(1h));
        CHECK(forgets == failure(errc::timed_out));
        const int value = co_await timeout(1s, sleeps_and_returns(1h, 7)); // a value is never lost
        CHECK(value == 7);
        CHECK(time.now() - begin < 6s);
    }(clock, pipe));
    check_baseline(used);
}

TEST_CASE("a_deadline_in_the_past_and_a_negative_duration_start_nothing") {
    virtual_clock clock;
    executor used({}, clock);
    pipe_ends pipe;
    pipe.write("data");
    const duration limit = GENERATE(0ns, -1ns, -1h, duration::min());
    used.run([](virtual_clock& time, executor& home, pipe_ends& from, duration given) -> task<> {
        std::array<char, 16> memory{};
        const auto sqes = home.stats().sqes;
        const result<int> read = co_await timeout(given, read_into(from.reading(), memory));
        CHECK(read == failure(errc::timed_out));
        const result<int> late = co_await deadline(time.now(), read_into(from.reading(), memory));
        CHECK(late == failure(errc::timed_out));
        const result<int> long_ago = co_await deadline(time_point{}, read_into(from.reading(), memory));
        CHECK(long_ago == failure(errc::timed_out));
        const result<void> child = co_await timeout(given, sleeps(1h));
        CHECK(child == failure(errc::timed_out));
        CHECK(home.stats().sqes == sqes);
    }(clock, used, pipe, limit));
    CHECK(pipe.left() == "data");
    check_baseline(used);
}

TEST_CASE("a_deadline_at_the_end_of_time_never_comes") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        const result<void> first = co_await timeout(duration::max(), sleep(24h * 365));
        CHECK(first.has_value());
        const result<void> second = co_await deadline(time_point::max(), sleep(24h * 365));
        CHECK(second.has_value());
        const result<void> third = co_await timeout(std::chrono::seconds::max(), sleep(24h * 365));
        CHECK(third.has_value());
        const result<void> fourth = co_await timeout(std::chrono::hours::min(), sleep(1ms));
        CHECK(fourth == failure(errc::timed_out));
    }());
    check_baseline(used);
}

TEST_CASE("durations_of_any_unit_are_cut_to_what_nanoseconds_hold") {
    CHECK(saturated(std::chrono::hours::max()) == duration::max());
    CHECK(saturated(std::chrono::years(300)) == duration::max());
    CHECK(saturated(std::chrono::years(-300)) == duration::min());
    CHECK(saturated(duration::max()) == duration::max());
    CHECK(saturated(duration::min()) == duration::min());
    CHECK(saturated(std::chrono::years(292)) == std::chrono::years(292));
    CHECK(saturated(std::chrono::duration<double>(0.5)) == 500ms);
    CHECK(saturated(-1ns) == -1ns);
}

TEST_CASE("of_ten_nested_deadlines_the_nearest_one_counts_and_tells") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    const int nearest = GENERATE(0, 4, 9);
    struct nest {
        int nearest;
        std::vector<std::error_code> told; // innermost first
        std::vector<time_point> deadlines; // outermost first

        task<result<void>> level(int depth) {
            const auto seen = co_await nearest_deadline();
            if (seen) deadlines.push_back(*seen);
            if (depth == 10) co_return co_await sleep(1h);
            const duration limit =
                depth == nearest ? duration(1s) : duration(std::chrono::minutes(1 + depth));
            const result<void> ended = co_await timeout(limit, level(depth + 1));
            told.push_back(ended ? std::error_code() : ended.error());
            co_return ended;
        }
    } nested{nearest, {}, {}};
    used.run([](virtual_clock& time, nest& all) -> task<> {
        const time_point begin = time.now();
        const result<void> ended = co_await all.level(0);
        CHECK(ended == failure(errc::timed_out));
        CHECK(time.now() - begin < 2s);
    }(clock, nested));
    REQUIRE(nested.told.size() == 10);
    for (int at = 0; at < 10; ++at) {
        const int depth = 9 - at;
        CAPTURE(depth);
        // Inside of the one whose time had come it is a cancellation.
        CHECK(
            nested.told[static_cast<std::size_t>(at)] ==
            (depth > nearest ? errc::cancelled : errc::timed_out));
    }
    REQUIRE(nested.deadlines.size() == 10);
    for (std::size_t at = 1; at < nested.deadlines.size(); ++at)
        CHECK(nested.deadlines[at] <= nested.deadlines[at - 1]);
    check_baseline(used);
}

TEST_CASE("a_cancellation_from_without_is_not_a_timeout") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        result<void> outcome;
        gate until;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](gate& opened, result<void>& into) -> task<> {
                into = co_await timeout(1s, stubborn(opened, 1h));
            }(until, outcome));
            co_await yield();
            group.cancel();
            co_await next_turn{};
            time.pass(2s); // the time comes while what was cancelled is still ending
            co_await next_turn{};
            co_await next_turn{};
            until.open();
        });
        CHECK(outcome == failure(errc::cancelled));
    }(clock));
    check_baseline(used);
}

TEST_CASE("what_ignores_its_cancellation_for_a_while_is_waited_for") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        gate until;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](gate& opened) -> task<> {
                (void)co_await sleep(10s);
                opened.open();
            }(until));
            const time_point begin = time.now();
            const result<void> ended = co_await timeout(1s, stubborn(until, 1h));
            CHECK(ended == failure(errc::timed_out));
            CHECK(time.now() - begin >= 10s);
        });
    }(clock));
    check_baseline(used);
}

TEST_CASE("an_operation_that_is_complete_when_its_time_comes_has_its_result") {
    virtual_clock clock;
    executor used({}, clock);
    pipe_ends pipe;
    used.run([](virtual_clock& time, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        result<int> read = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](pipe_ends& source, std::span<char> into, result<int>& outcome) -> task<> {
                outcome = co_await timeout(1s, read_into(source.reading(), into));
            }(from, memory, read));
            co_await yield();
            from.write("data");
            co_await everything_reaped{};
            time.pass(2s);
        });
        CHECK(read == 4);
    }(clock, pipe));
    check_baseline(used);
}

TEST_CASE("an_exception_comes_through_a_deadline") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        bool thrown = false;
        try {
            (void)co_await timeout(1s, []() -> task<> {
                (void)co_await sleep(1h);
                throw std::runtime_error("after the deadline");
            }());
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
    }());
    check_baseline(used);
}

TEST_CASE("try_takes_what_has_a_deadline") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        const result<int> outcome = co_await []() -> task<result<int>> {
            const int value = co_await try_(timeout(1h, returns(7)));
            CHECK(value == 7);
            co_await try_(timeout(1s, sleep(1h)));
            co_return value;
        }();
        CHECK(outcome == failure(errc::timed_out));
    }());
    check_baseline(used);
}

TEST_CASE("tasks_spawned_below_a_deadline_inherit_it") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const auto none = co_await nearest_deadline();
        CHECK_FALSE(none.has_value());
        const time_point at = time.now() + 1s;
        std::optional<time_point> seen;
        result<void> child;
        const result<void> ended = co_await deadline(at, [](auto& see, auto& outcome) -> task<result<void>> {
            co_await scope([&](task_group& group) -> task<> {
                group.spawn([](auto& see_, auto& outcome_) -> task<> {
                    see_ = co_await nearest_deadline();
                    outcome_ = co_await sleep(1h);
                }(see, outcome));
                co_return;
            });
            co_return outcome;
        }(seen, child));
        CHECK(seen == at);
        CHECK(child == failure(errc::cancelled));
        CHECK(ended == failure(errc::timed_out));
    }(clock));
    check_baseline(used);
}

TEST_CASE("a_task_that_is_destroyed_below_a_deadline_leaves_no_timer") {
    virtual_clock clock;
    executor used({}, clock);
    pipe_ends pipe;
    used.run([](virtual_clock& time, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        {
            task_group group(co_await this_scope{});
            group.spawn([](pipe_ends& source, std::span<char> into) -> task<> {
                (void)co_await timeout(1s, read_into(source.reading(), into));
                FAIL("resumed");
            }(from, memory));
            co_await yield();
        }
        time.pass(2s);
        co_await next_turn{};
        co_await next_turn{};
    }(clock, pipe));
    check_baseline(used);
}

TEST_CASE("each_outcome_of_when_all_and_of_a_race_says_whether_its_time_had_come") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        const auto [slow, quick, number, none] =
            co_await timeout(1s, when_all(sleep(1h), returns(7), sleeps_and_returns(1h, 8), sleeps(2h)));
        CHECK(slow == failure(errc::timed_out));
        CHECK(quick == 7);
        CHECK(number == 8);
        CHECK(none == failure(errc::timed_out));
        std::vector<task<result<void>>> many;
        many.push_back(sleeps(1h));
        many.push_back(sleeps(1ms));
        const auto all = co_await timeout(1s, when_all(std::move(many)));
        CHECK(all[0] == failure(errc::timed_out));
        CHECK(all[1].has_value());

        const auto lost = co_await timeout(1s, race_success(sleep(1h), sleeps(1h)));
        CHECK_FALSE(lost.winner.has_value());
        CHECK(std::get<0>(lost.outcomes) == failure(errc::timed_out));
        CHECK(std::get<1>(lost.outcomes) == failure(errc::timed_out));
        // Who has lost in time was cancelled by the race.
        const auto won = co_await timeout(1s, when_any(sleep(1ms), sleep(1h)));
        CHECK(won.winner == 0U);
        CHECK(std::get<1>(won.outcomes) == failure(errc::cancelled));
        // And from without it is a cancellation.
        const auto outer = co_await timeout(1s, [](auto inner) -> task<result<void>> {
            const auto [only] = co_await std::move(inner);
            CHECK(only == failure(errc::cancelled));
            co_return only;
        }(timeout(1h, when_all(sleep(1h)))));
        CHECK(outer == failure(errc::timed_out));
    }());
    check_baseline(used);
}

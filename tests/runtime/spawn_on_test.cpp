#include "runtime/two_executors.hpp"

#include <chainring/runtime/call_on.hpp>
#include <chainring/runtime/cancellation.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/spawn_on.hpp>

#include <sstream>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<void>> sleeps_there(int& ended) {
    const counts_its_end counting(ended);
    co_return co_await sleep(24h);
}

} // namespace

TEST_CASE("a_task_runs_on_another_executor_and_what_it_returns_comes_back") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto value = spawn_on(of.there, [&of]() -> task<int> {
            (void)co_await no_operation();
            co_await sleep(1ms);
            co_return executor::current() == &of.there ? 42 : 0;
        });
        const result<int> got = co_await std::move(value);
        CHECK(got == 42);
        auto nothing = spawn_on(of.there, []() -> task<> { co_return; });
        const result<void> ended = co_await std::move(nothing);
        CHECK(ended.has_value());
        auto fails = spawn_on(of.there, []() -> task<result<int>> { co_return failure(errc::busy); });
        const result<int> failed = co_await std::move(fails);
        CHECK(failed == failure(errc::busy));
        CHECK(executor::current() == &of.here);
    }(both));
    both.check_baselines();
}

TEST_CASE("an_exception_of_a_task_elsewhere_comes_out_of_the_await") {
    two_executors both;
    const bool as_task = GENERATE(true, false);
    const auto run = [&] {
        both.run([](executor& there, bool in_task) -> task<> {
            auto throws = spawn_on(there, [in_task]() -> task<int> {
                if (!in_task) throw std::runtime_error("user");
                return []() -> task<int> {
                    (void)co_await no_operation();
                    throw std::runtime_error("user");
                }();
            });
            (void)co_await std::move(throws);
        }(both.there, as_task));
    };
    CHECK_THROWS_AS(run(), std::runtime_error);
    both.check_baselines();
}

TEST_CASE("a_cancellation_reaches_a_task_elsewhere_and_its_result_decides") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        int ended = 0;
        auto slept = spawn_on(of.there, [&ended] { return sleeps_there(ended); });
        auto waiting = timeout(1ms, std::move(slept));
        const result<void> late = co_await std::move(waiting);
        CHECK(late == failure(errc::timed_out));
        CHECK(ended == 1);
        auto stands = spawn_on(of.there, []() -> task<result<int>> {
            (void)co_await sleep(24h);
            co_return 5;
        });
        auto limited = timeout(1ms, std::move(stands));
        const result<int> kept = co_await std::move(limited);
        CHECK(kept == 5);
    }(both));
    both.check_baselines();
}

TEST_CASE("a_deadline_is_known_to_a_task_elsewhere") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto asked = spawn_on(of.there, []() -> task<result<bool>> {
            const auto nearest = co_await nearest_deadline();
            co_return nearest.has_value();
        });
        auto limited = timeout(1h, std::move(asked));
        const result<bool> known = co_await std::move(limited);
        CHECK(known == true);
    }(both));
    both.check_baselines();
}

TEST_CASE("a_shield_holds_for_a_task_elsewhere_too") {
    two_executors both;
    const bool shielded = GENERATE(true, false);
    both.run([](two_executors& of, bool with_shield) -> task<> {
        auto slept = spawn_on(of.there, []() -> task<result<void>> {
            executor::current()->root_scope().cancel();
            co_return co_await sleep(1ms);
        });
        result<void> ended;
        if (with_shield)
            ended = co_await shield(std::move(slept));
        else
            ended = co_await std::move(slept);
        CHECK(ended.has_value() == with_shield);
    }(both, shielded));
    both.check_baselines();
}

TEST_CASE("a_task_that_is_cancelled_on_its_way_is_never_made") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        int made = 0;
        result<void> cut;
        task_group group(co_await this_scope{});
        group.spawn([](executor& there, int& count, result<void>& outcome) -> task<> {
            auto asked = spawn_on(there, [&count]() -> task<> {
                ++count;
                co_return;
            });
            outcome = co_await std::move(asked);
        }(of.there, made, cut));
        co_await yield();
        group.cancel();
        co_await group.join();
        CHECK(cut == failure(errc::cancelled));
        CHECK(made == 0);
    }(both));
    both.check_baselines();
}

TEST_CASE("destroying_the_awaiter_destroys_the_task_elsewhere") {
    two_executors both;
    const int turns = GENERATE(0, 1, 2, 5);
    int ended = 0;
    both.run([](two_executors& of, int wait, int& count) -> task<> {
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn([](executor& there, int& counted) -> task<> {
            auto asked = spawn_on(there, [&counted] { return sleeps_there(counted); });
            (void)co_await std::move(asked);
        }(of.there, count));
        for (int turn = 0; turn < wait; ++turn) co_await next_turn{};
        co_await yield();
        if (wait == 5) co_await sleep(1ms);
        group.reset();
    }(both, turns, ended));
    CHECK(ended <= 1);
    if (turns == 5) CHECK(ended == 1);
    both.check_baselines();
}

TEST_CASE("tasks_that_await_each_other_across_executors_are_destroyed_together") {
    two_executors both;
    int ended = 0;
    both.run([](two_executors& of, int& count) -> task<> {
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn([](two_executors& across, int& counted) -> task<> {
            auto asked = spawn_on(across.there, [&]() -> task<> {
                const counts_its_end counting(counted);
                auto back = spawn_on(across.here, [&counted] { return sleeps_there(counted); });
                (void)co_await std::move(back);
            });
            (void)co_await std::move(asked);
        }(of, count));
        co_await sleep(1ms);
        group.reset();
    }(both, ended));
    CHECK(ended == 2);
    both.check_baselines();
}

TEST_CASE("an_executor_that_ends_destroys_the_tasks_of_others_and_tells_them") {
    two_executors both;
    int ended = 0;
    result<void> told;
    bool heard = false;
    spawn(
        both.here,
        [](executor& there, int& count) -> task<result<void>> {
            auto asked = spawn_on(there, [&count] { return sleeps_there(count); });
            co_return co_await std::move(asked);
        }(both.there, ended),
        [&](ended_task<result<void>> end) {
            told = end.value();
            heard = true;
        });
    both.run_until([&] { return both.there.has_tasks() && !both.there.pump(); });
    both.second.reset();
    CHECK(ended == 1);
    both.run_until([&] { return heard; });
    CHECK(told == failure(errc::executor_ended));
    both.check_baselines();
}

TEST_CASE("a_dump_shows_a_task_elsewhere_on_both_executors") {
    two_executors both;
    std::string here;
    std::string there;
    both.run([](two_executors& of, std::string& seen_here, std::string& seen_there) -> task<> {
        auto asked = spawn_on(of.there, []() -> task<result<void>> { co_return co_await sleep(24h); });
        auto looks = [](two_executors& at, std::string& log_here,
                        std::string& log_there) -> task<result<void>> {
            co_await sleep(1ms);
            std::ostringstream text;
            at.here.dump(text);
            log_here = text.str();
            std::ostringstream other;
            at.there.dump(other);
            log_there = other.str();
            co_return result<void>();
        }(of, seen_here, seen_there);
        auto both_of_them = when_any(std::move(asked), std::move(looks));
        (void)co_await std::move(both_of_them);
    }(both, here, there));
    CHECK(here.contains("the end of a task on another executor"));
    CHECK(there.contains("sleep"));
    both.check_baselines();
}

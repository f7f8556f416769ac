#include "runtime/host_loop.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/from_callback.hpp>

#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// An API with callbacks, of which a test decides when they come.
struct answers {
    std::vector<callback<std::string>> waiting;
    int cancelled = 0;

    void ask(callback<std::string> done) { waiting.push_back(std::move(done)); }
};

auto asking(answers& from) {
    return from_callback<std::string>([&from](callback<std::string> done) { from.ask(std::move(done)); });
}

// One that can be told to give up, and then calls back.
auto asking_until_cancelled(answers& from) {
    return from_callback<std::string>(
        [&from](callback<std::string> done) { from.ask(std::move(done)); },
        [&from] {
            ++from.cancelled;
            for (const auto& each : std::exchange(from.waiting, {})) each.fail(errc::cancelled);
        });
}

task<> store_answer(answers& from, std::optional<result<std::string>>& to) {
    to = co_await asking(from);
}

} // namespace

TEST_CASE("a_callback_that_comes_at_once_ends_the_await_without_a_turn") {
    executor used({}, test_kernel());
    used.run([](executor& home) -> task<> {
        const auto turns = home.stats().turns;
        const result<int> number = co_await from_callback<int>([](const callback<int>& done) { done(7); });
        CHECK(number == 7);
        const result<void> nothing = co_await from_callback([](const callback<void>& done) { done(); });
        CHECK(nothing.has_value());
        const result<int> failed =
            co_await from_callback<int>([](const callback<int>& done) { done.fail(errc::busy); });
        CHECK(failed == failure(errc::busy));
        CHECK(home.stats().turns == turns);
    }(used));
    check_baseline(used);
}

TEST_CASE("a_callback_may_come_later_from_within_a_turn") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        answers api;
        std::optional<result<std::string>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(store_answer(api, told));
            co_await next_turn();
            REQUIRE(api.waiting.size() == 1);
            CHECK_FALSE(told);
            CHECK(api.waiting.front()("late"));
            CHECK_FALSE(told); // it runs in its own time
        });
        CHECK(told == result<std::string>("late"));
    }());
    check_baseline(used);
}

TEST_CASE("a_callback_from_the_loop_around_the_executor_wakes_it") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(used);
    answers api;
    std::optional<result<std::string>> told;
    spawn(used, store_answer(api, told), [](const ended_task<void>&) {});
    host.come_to_rest();
    REQUIRE(api.waiting.size() == 1);
    CHECK(api.waiting.front()("from outside"));
    CHECK(host.is_readable());
    host.run_until([&] { return told.has_value(); });
    CHECK(told == result<std::string>("from outside"));
    api.waiting.clear();
    check_baseline(used);
}

TEST_CASE("callbacks_from_other_threads_wake_a_sleeping_executor", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        const auto home = std::this_thread::get_id();
        for (int round = 0; round < 200; ++round) {
            std::thread other;
            auto calling = from_callback<std::thread::id>([&other](callback<std::thread::id> done) {
                other = std::thread([called = std::move(done)] { called(std::this_thread::get_id()); });
            });
            const result<std::thread::id> told = co_await std::move(calling);
            CHECK(told == other.get_id());
            CHECK(std::this_thread::get_id() == home);
            other.join();
        }
    }());
    check_baseline(used);
}

TEST_CASE("only_the_first_call_counts") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::optional<callback<int>> kept;
        const result<int> number = co_await from_callback<int>([&](const callback<int>& done) {
            kept = done;
            CHECK(done(1));
            CHECK_FALSE(done(2));
            CHECK_FALSE(done.fail(errc::busy));
        });
        CHECK(number == 1);
        CHECK_FALSE((*kept)(3));
    }());
    check_baseline(used);
}

TEST_CASE("a_callback_that_is_destroyed_without_a_call_ends_the_await") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const result<int> forgotten = co_await from_callback<int>([](const callback<int>&) {});
        CHECK(forgotten == failure(errc::never_called));
        answers api;
        std::optional<result<std::string>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(store_answer(api, told));
            co_await next_turn();
            auto copy = api.waiting.front();
            api.waiting.clear();
            co_await next_turn();
            CHECK_FALSE(told); // there is a copy
        });
        CHECK(told == failure(errc::never_called));
    }());
    check_baseline(used);
}

TEST_CASE("exceptions_of_the_start_and_those_given_to_the_callback_come_out_of_the_await") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::string caught;
        std::optional<callback<int>> kept;
        try {
            (void)co_await from_callback<int>([&](const callback<int>& done) {
                kept = done;
                throw std::runtime_error("not started");
            });
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
        CHECK(caught == "not started");
        CHECK_FALSE((*kept)(1));
        try {
            (void)co_await from_callback<int>([](const callback<int>& done) {
                done.raise(std::make_exception_ptr(std::runtime_error("raised")));
            });
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
        CHECK(caught == "raised");
    }());
    check_baseline(used);
}

TEST_CASE("functions_and_values_need_only_be_movable_and_a_result_is_not_wrapped") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto start = [owned = std::make_unique<int>(5)](const callback<std::unique_ptr<int>>& done) mutable {
            done(std::move(owned));
        };
        result<std::unique_ptr<int>> owned = co_await from_callback<std::unique_ptr<int>>(std::move(start));
        REQUIRE(owned.has_value());
        CHECK(**owned == 5);
        const result<int> flat =
            co_await from_callback<result<int>>([](const callback<result<int>>& done) { done(3); });
        CHECK(flat == 3);
        const result<int> tried = co_await []() -> task<result<int>> {
            const int value = co_await try_(from_callback<int>([](const callback<int>& done) { done(4); }));
            co_return value + 1;
        }();
        CHECK(tried == 5);
    }());
    check_baseline(used);
}

TEST_CASE("a_cancelled_await_ends_at_once_and_its_callback_comes_too_late") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        answers api;
        const result<std::string> late = co_await timeout(0s, asking(api));
        CHECK(late == failure(errc::timed_out));
        const result<std::string> cancelled = co_await timeout(1ms, asking(api));
        CHECK(cancelled == failure(errc::timed_out));
        REQUIRE_FALSE(api.waiting.empty());
        for (const auto& each : api.waiting) CHECK_FALSE(each("too late"));
    }());
    check_baseline(used);
}

TEST_CASE("where_there_is_something_to_cancel_the_callback_decides") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        answers api;
        const result<std::string> cancelled = co_await timeout(1ms, asking_until_cancelled(api));
        CHECK(cancelled == failure(errc::timed_out));
        CHECK(api.cancelled == 1);

        // It answers all the same, and takes its time.
        std::optional<callback<std::string>> kept;
        bool asked = false;
        auto slow = from_callback<std::string>(
            [&](const callback<std::string>& done) { kept = done; }, [&] { asked = true; });
        std::optional<result<std::string>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto awaited, std::optional<result<std::string>>& to) -> task<> {
                to = co_await std::move(awaited);
            }(std::move(slow), told));
            co_await next_turn();
            group.cancel();
            co_await next_turn();
            CHECK(asked);
            CHECK_FALSE(told);
            (*kept)("nevertheless");
        });
        CHECK(told == result<std::string>("nevertheless"));
    }());
    check_baseline(used);
}

TEST_CASE("a_cancel_behind_the_call_asks_nobody_and_changes_nothing") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        answers api;
        std::optional<result<std::string>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](answers& from, std::optional<result<std::string>>& to) -> task<> {
                to = co_await asking_until_cancelled(from);
            }(api, told));
            co_await next_turn();
            api.waiting.front()("first");
            group.cancel();
        });
        CHECK(told == result<std::string>("first"));
        CHECK(api.cancelled == 0);

        told.reset();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(store_answer(api, told));
            co_await next_turn();
            api.waiting.back()("first");
            group.cancel();
        });
        CHECK(told == result<std::string>("first"));
    }());
    check_baseline(used);
}

TEST_CASE("a_start_that_cancels_its_own_task_ends_the_await") {
    executor used({}, test_kernel());
    const bool may_be_asked = GENERATE(false, true);
    used.run([](bool with_cancel) -> task<> {
        std::optional<callback<int>> kept;
        std::optional<result<int>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(
                [](task_group& own, std::optional<callback<int>>& to, bool ask,
                   std::optional<result<int>>& outcome) -> task<> {
                    const auto start = [&](const callback<int>& done) {
                        to = done;
                        own.cancel();
                    };
                    if (ask)
                        outcome = co_await from_callback<int>(start, [&to] { to->fail(errc::closed); });
                    else
                        outcome = co_await from_callback<int>(start);
                }(group, kept, with_cancel, told));
            co_return;
        });
        CHECK(told == failure(with_cancel ? errc::closed : errc::cancelled));
    }(may_be_asked));
    check_baseline(used);
}

TEST_CASE("a_callback_outlives_its_task_and_its_executor") {
    std::optional<callback<int>> kept;
    int asked = 0;
    {
        executor used({}, test_kernel());
        spawn(
            used,
            [](std::optional<callback<int>>& to, int& count) -> task<> {
                (void)co_await from_callback<int>(
                    [&](const callback<int>& done) { to = done; }, [&] { ++count; });
            }(kept, asked),
            [](const ended_task<void>&) {});
        while (used.pump()) {
        }
        REQUIRE(kept.has_value());
    }
    CHECK(asked == 1);
    CHECK_FALSE((*kept)(1));
}

TEST_CASE("an_executor_waits_for_a_callback_that_is_on_its_way", "[linux]") {
    for (int round = 0; round < 200; ++round) {
        std::optional<executor> used(std::in_place, executor_options{}, test_kernel());
        std::optional<callback<int>> kept;
        spawn(
            *used,
            [](std::optional<callback<int>>& to) -> task<> {
                (void)co_await from_callback<int>([&](const callback<int>& done) { to = done; });
            }(kept),
            [](const ended_task<void>&) {});
        while (used->pump()) {
        }
        std::thread other([called = *kept] { called(1); });
        used.reset();
        other.join();
    }
}

TEST_CASE("the_tree_of_tasks_shows_who_waits_for_a_callback") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        answers api;
        std::optional<result<std::string>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(store_answer(api, told));
            co_await next_turn();
            std::ostringstream seen;
            executor::current()->dump(seen);
            CHECK(seen.str().find("a callback") != std::string::npos);
            api.waiting.clear();
        });
    }());
    check_baseline(used);
}

#include "runtime/two_executors.hpp"

#include <chainring/runtime/call_on.hpp>
#include <chainring/runtime/deadline.hpp>

#include <memory>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

TEST_CASE("a_function_is_called_on_another_executor_and_its_value_comes_back") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto asked = call_on(of.there, [&of] { return &this_executor() == &of.there ? 42 : 0; });
        const result<int> answer = co_await std::move(asked);
        CHECK(answer == 42);
        CHECK(executor::current() == &of.here);
        auto told = call_on(of.there, [] {});
        const result<void> heard = co_await std::move(told);
        CHECK(heard.has_value());
        auto owned = call_on(of.there, [] { return std::make_unique<int>(7); });
        const result<std::unique_ptr<int>> moved = co_await std::move(owned);
        CHECK(**moved == 7);
    }(both));
    both.check_baselines();
}

TEST_CASE("an_error_and_an_exception_of_a_called_function_come_back") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto fails = call_on(of.there, []() -> result<int> { return failure(errc::busy); });
        const result<int> failed = co_await std::move(fails);
        CHECK(failed == failure(errc::busy));
        auto throws = call_on(of.there, []() -> int { throw std::runtime_error("user"); });
        bool caught = false;
        try {
            (void)co_await std::move(throws);
        } catch (const std::runtime_error& thrown) {
            caught = thrown.what() == std::string_view("user");
        }
        CHECK(caught);
    }(both));
    both.check_baselines();
}

TEST_CASE("calls_run_in_the_order_of_their_beginning") {
    two_executors both;
    std::vector<int> order;
    both.run([](two_executors& of, std::vector<int>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < 50; ++number)
                group.spawn([](executor& there, std::vector<int>& log, int own) -> task<> {
                    auto asked = call_on(there, [&log, own] { log.push_back(own); });
                    (void)co_await std::move(asked);
                }(of.there, to, number));
            co_return;
        });
    }(both, order));
    CHECK(order.size() == 50);
    CHECK(std::ranges::is_sorted(order));
    both.check_baselines();
}

TEST_CASE("an_executor_may_call_itself") {
    executor used({}, test_kernel());
    used.run([](executor& own) -> task<> {
        auto asked = call_on(own, [] { return 3; });
        const result<int> answer = co_await std::move(asked);
        CHECK(answer == 3);
    }(used));
    check_baseline(used);
}

TEST_CASE("a_call_that_is_cancelled_before_it_begins_does_not_run") {
    two_executors both;
    int calls = 0;
    both.run([](two_executors& of, int& count) -> task<> {
        result<void> cut;
        task_group group(co_await this_scope{});
        group.spawn([](executor& there, int& counted, result<void>& outcome) -> task<> {
            auto asked = call_on(there, [&counted] { ++counted; });
            outcome = co_await std::move(asked);
        }(of.there, count, cut));
        co_await yield(); // it is on its way
        group.cancel();
        co_await group.join();
        CHECK(cut == failure(errc::cancelled));
        auto refused = call_on(of.there, [&count] { ++count; });
        task_group cancelled(co_await this_scope{});
        cancelled.cancel();
        cancelled.spawn([](executor& there, int& counted) -> task<> {
            auto asked = call_on(there, [&counted] { ++counted; });
            const result<void> outcome = co_await std::move(asked);
            CHECK(outcome == failure(errc::cancelled));
        }(of.there, count));
        co_await cancelled.join();
    }(both, calls));
    CHECK(calls == 0);
    both.check_baselines();
}

TEST_CASE("a_task_that_is_destroyed_takes_its_call_back") {
    two_executors both;
    int calls = 0;
    both.run([](two_executors& of, int& count) -> task<> {
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn([](executor& there, int& counted) -> task<> {
            auto asked = call_on(there, [&counted] { ++counted; });
            (void)co_await std::move(asked);
        }(of.there, count));
        co_await yield();
        group.reset();
    }(both, calls));
    both.run_until([&] { return !both.there.pump(); });
    CHECK(calls == 0);
    both.check_baselines();
}

TEST_CASE("a_call_on_an_executor_that_ends_is_refused") {
    two_executors both;
    int calls = 0;
    const result<void> refused = both.run([](two_executors& of, int& count) -> task<result<void>> {
        auto asked = call_on(of.there, [&count] { ++count; });
        of.there.refuse_work();
        co_return co_await std::move(asked);
    }(both, calls));
    CHECK(refused == failure(errc::executor_ended));
    CHECK(calls == 0);
    CHECK(refused.error().message() == "the executor has ended, or is about to; it takes no more work");
    both.check_baselines();
}

TEST_CASE("a_call_that_an_executor_has_not_come_to_is_refused_by_its_end") {
    two_executors both;
    bool refused = false;
    spawn(
        both.here,
        [](executor& there, bool& told) -> task<> {
            auto asked = call_on(there, [] {});
            const result<void> outcome = co_await std::move(asked);
            told = outcome == failure(errc::executor_ended);
        }(both.there, refused),
        [](const ended_task<void>&) {});
    (void)both.here.pump(2);
    both.second.reset();
    both.run_until([&] { return refused; });
    both.check_baselines();
}

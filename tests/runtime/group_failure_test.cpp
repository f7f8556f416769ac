// What becomes of the errors and exceptions of children, for each policy.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <stdexcept>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<void>> fails_after(duration time, errc error) {
    (void)co_await sleep(time);
    co_return failure(error);
}

task<> throws_after(duration time, std::string text) {
    (void)co_await sleep(time);
    throw std::runtime_error(text);
}

task<result<void>> sleeps(duration time, result<void>& outcome) {
    outcome = co_await sleep(time);
    co_return outcome;
}

task<result<void>> sleeps_for(duration time) {
    const result<void> slept = co_await sleep(time);
    co_return slept;
}

// Fails whether or not somebody cancels it.
task<result<void>> shielded_failure(duration time) {
    (void)co_await shield(sleep(time));
    co_return failure(errc::broken);
}

struct not_a_standard_one {};

// Its children sleep for a second; the body says that all is well.
task<result<void>> works_for_a_second(failure_policy policy) {
    const group_options options{.on_failure = policy};
    const result<void> done = co_await scope(options, [](task_group& group) -> task<result<void>> {
        for (int number = 0; number < 3; ++number) group.spawn(sleeps_for(1s));
        co_return result<void>();
    });
    co_return done;
}

} // namespace

TEST_CASE("the_error_of_a_child_cancels_its_siblings_and_the_body_and_is_the_scopes") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        result<void> sibling;
        result<void> body;
        const result<void> outcome = co_await scope([&](task_group& group) -> task<result<void>> {
            group.spawn(sleeps(1h, sibling));
            group.spawn(fails_after(1s, errc::broken));
            group.spawn(fails_after(2s, errc::closed));
            body = co_await sleep(1h);
            co_return body;
        });
        CHECK(outcome == failure(errc::broken));
        CHECK(sibling == failure(errc::cancelled));
        CHECK(body == failure(errc::cancelled));
        CHECK(time.now() - begin < 2s);
    }(clock));
    check_baseline(used);
}

TEST_CASE("the_error_of_a_child_is_thrown_by_a_scope_that_returns_no_result") {
    virtual_clock clock;
    executor used({}, clock);
    const bool with_value = GENERATE(false, true);
    used.run([](bool value) -> task<> {
        std::error_code thrown;
        try {
            if (value) {
                const int never = co_await scope([](task_group& group) -> task<int> {
                    group.spawn(fails_after(1s, errc::broken));
                    co_return 7;
                });
                CHECK(never == 0);
            } else {
                co_await scope([](task_group& group) -> task<> {
                    group.spawn(fails_after(1s, errc::broken));
                    co_return;
                });
            }
        } catch (const std::system_error& error) {
            thrown = error.code();
        }
        CHECK(thrown == errc::broken);
    }(with_value));
    check_baseline(used);
}

TEST_CASE("having_been_cancelled_with_the_group_is_no_failure") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        result<void> first;
        result<void> second;
        const result<int> outcome = co_await scope([&](task_group& group) -> task<result<int>> {
            group.spawn(sleeps(1h, first));
            group.spawn(sleeps(1h, second));
            co_await yield();
            group.cancel();
            co_return 7;
        });
        CHECK(outcome == 7);
        CHECK(first == failure(errc::cancelled));
        CHECK(second == failure(errc::cancelled));
    }());
    check_baseline(used);
}

TEST_CASE("of_a_failing_body_and_a_failing_child_the_first_is_the_scopes") {
    virtual_clock clock;
    executor used({}, clock);
    const bool body_first = GENERATE(false, true);
    used.run([](bool first) -> task<> {
        const result<void> outcome = co_await scope([&](task_group& group) -> task<result<void>> {
            group.spawn(shielded_failure(first ? 2s : 1s));
            (void)co_await shield(sleep(first ? 1s : 2s));
            co_return failure(errc::busy);
        });
        CHECK(outcome == failure(first ? errc::busy : errc::broken));
    }(body_first));
    check_baseline(used);
}

TEST_CASE("collecting_cancels_nobody_and_keeps_every_failure_in_order") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        result<void> sibling = failure(errc::busy);
        std::vector<task_failure> failures;
        const result<void> outcome = co_await scope(
            group_options{.on_failure = failure_policy::collect},
            [&](task_group& group) -> task<result<void>> {
                group.spawn(sleeps(3s, sibling));
                group.spawn(fails_after(2s, errc::broken));
                group.spawn(throws_after(1s, "first"));
                co_await group.join();
                failures = group.take_failures();
                co_return {};
            });
        CHECK(outcome.has_value());
        CHECK(sibling.has_value());
        REQUIRE(failures.size() == 2);
        CHECK_THROWS_AS(std::rethrow_exception(failures[0].exception), std::runtime_error);
        CHECK(failures[1].error == errc::broken);
    }());
    check_baseline(used);
}

TEST_CASE("collected_failures_that_nobody_took_come_out_of_the_scope") {
    virtual_clock clock;
    executor used({}, clock);
    const bool error_first = GENERATE(false, true);
    used.run([](bool error_first_) -> task<> {
        result<void> outcome;
        bool thrown = false;
        try {
            outcome = co_await scope(
                group_options{.on_failure = failure_policy::collect},
                [&](task_group& group) -> task<result<void>> {
                    group.spawn(fails_after(error_first_ ? 1s : 2s, errc::broken));
                    group.spawn(throws_after(error_first_ ? 2s : 1s, "first"));
                    co_return {};
                });
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown != error_first_);
        if (error_first_) CHECK(outcome == failure(errc::broken));
    }(error_first));
    check_baseline(used);
}

TEST_CASE("ignored_failures_change_nothing") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        result<void> sibling = failure(errc::busy);
        co_await scope(group_options{.on_failure = failure_policy::ignore}, [&](task_group& group) -> task<> {
            group.spawn(sleeps(3s, sibling));
            group.spawn(fails_after(1s, errc::broken));
            group.spawn(throws_after(2s, "ignored"));
            group.spawn([]() -> task<> {
                co_await yield();
                throw not_a_standard_one();
            }());
            co_return;
        });
        CHECK(sibling.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("an_exception_of_a_type_that_nobody_knows_comes_out_of_the_scope") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        bool thrown = false;
        try {
            co_await scope([](task_group& group) -> task<> {
                group.spawn([]() -> task<> {
                    co_await yield();
                    throw not_a_standard_one();
                }());
                co_return;
            });
        } catch (const not_a_standard_one&) {
            thrown = true;
        }
        CHECK(thrown);
    }());
    check_baseline(used);
}

TEST_CASE("a_scope_that_was_cut_short_does_not_say_that_all_is_well") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        for (const failure_policy policy : {failure_policy::cancel_siblings, failure_policy::collect}) {
            const result<void> late = co_await timeout(10ms, works_for_a_second(policy));
            CHECK(late == failure(errc::timed_out));
            const result<void> too_late = co_await deadline(time_point(), works_for_a_second(policy));
            CHECK(too_late == failure(errc::timed_out));
            const result<void> in_time = co_await timeout(10s, works_for_a_second(policy));
            CHECK(in_time);
        }
        const result<void> ignored = co_await timeout(10ms, works_for_a_second(failure_policy::ignore));
        CHECK(ignored);
        const auto race = co_await race_success(
            timeout(1ms, works_for_a_second(failure_policy::cancel_siblings)), sleep(20ms));
        CHECK(race.winner == 1);
    }());
    check_baseline(used);
}

TEST_CASE("a_body_that_has_cancelled_its_children_says_what_it_likes") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const result<int> answer = co_await timeout(1h, scope([](task_group& group) -> task<result<int>> {
                                                        group.spawn(sleeps_for(1h));
                                                        co_await yield();
                                                        group.cancel();
                                                        co_return 7;
                                                    }));
        CHECK(answer == 7);
    }());
    check_baseline(used);
}
